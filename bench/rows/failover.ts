/** How long nobody leads after the tab that did is lost, in a real Chromium with two tabs. */
import type { Bench } from '../bench.ts'
import { openPage, type Page } from '../browser/page.ts'

const secondsMax = 5

/** Ways to lose a tab: each resolves when it is lost. */
const ways = {
  async closed({ tab }: Page): Promise<void> {
    await tab.close({ runBeforeUnload: false })
  },
  async crashed({ tab }: Page): Promise<void> {
    const gone = new Promise((resolve) => tab.once('crash', resolve))
    tab.goto('chrome://crash').catch(() => undefined)
    await gone
  },
  // Stopped in the debugger: no timer, no message and no promise runs, and the lock is kept.
  async frozen({ tab }: Page): Promise<void> {
    const session = await tab.context().newCDPSession(tab)
    const paused = new Promise((resolve) => session.once('Debugger.paused', resolve))
    await session.send('Debugger.enable')
    await session.send('Debugger.pause')
    await paused
  },
}

const failover = (way: keyof typeof ways): Bench => ({
  name: `failover-${way}`,
  unit: 's',
  goal: { atMost: 1 },
  about: `until another tab leads after the one that did is ${way}, against 5 s`,
  warmups: 0,
  async open() {
    const page = await openPage()
    let runs = 0
    return {
      limit: async () => secondsMax,
      ours: () => lose(page, way, `failover-${(runs += 1)}`),
      close: page.close,
    }
  },
})

/** One row for each way to lose the tab that leads. */
export const [failoverClosed, failoverCrashed, failoverFrozen] = [
  failover('closed'),
  failover('crashed'),
  failover('frozen'),
]

/** Opens two tabs of a user's, loses the one that leads, and says for how many seconds nobody did. */
async function lose(page: Page, way: keyof typeof ways, user: string): Promise<number> {
  const leader = await page.open()
  await leader.run('openTab', user)
  await leader.run('tabLeads')
  const other = await page.open()
  await other.run('openTab', user)
  await other.run('tabFollows', user)
  const lostAt = performance.now()
  await ways[way](leader)
  await other.run('tabLeads')
  const seconds = (performance.now() - lostAt) / 1_000
  await leader.close()
  await other.close()
  return seconds
}
