/**
 * A Chromium that is spoken to without a library between. Playwright makes every page believe that somebody
 * looks at it, and such a page cannot be frozen; here a tab that is behind another one is hidden.
 */
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { findChromium } from './chromium.ts'

/** A tab. */
export interface PlainTab {
  /** Evaluates an expression in its page, and waits for a promise. */
  evaluate<Value>(expression: string): Promise<Value>
  /** Brings it before the others, which are hidden then. */
  activate(): Promise<void>
  /** Freezes the page, as browsers do with tabs that nobody looks at for long; or lets it go on. */
  setFrozen(isFrozen: boolean): Promise<void>
}

/** A running browser. */
export interface PlainBrowser {
  open(url: string): Promise<PlainTab>
  close(): Promise<void>
}

interface Answer {
  readonly id?: number
  readonly result?: Record<string, unknown>
  readonly error?: { readonly message: string }
}

/** Starts a browser with a profile of its own. */
export async function startPlainBrowser(): Promise<PlainBrowser> {
  const { executablePath, args, env } = await findChromium()
  const profile = await mkdtemp(join(tmpdir(), 'tidemark-plain-'))
  const own = ['--headless', '--remote-debugging-port=0', `--user-data-dir=${profile}`]
  const browser = spawn(executablePath, [...own, ...args, 'about:blank'], { env })
  const address = await new Promise<string>((resolve, reject) => {
    browser.once('exit', (code) => reject(new Error(`Chromium ended with ${code}`)))
    browser.stderr.on('data', (said: Buffer) => {
      const [, url] = /DevTools listening on (ws:\S+)/.exec(String(said)) ?? []
      if (url) resolve(url)
    })
  })
  const socket = new WebSocket(address)
  await once(socket, 'open')
  const waiting = new Map<number, (answer: Answer) => void>()
  socket.addEventListener('message', ({ data }) => {
    const answer = JSON.parse(String(data)) as Answer
    if (answer.id !== undefined) waiting.get(answer.id)?.(answer)
  })
  const send = (method: string, params: object, sessionId?: string) =>
    new Promise<Record<string, unknown>>((resolve, reject) => {
      const id = waiting.size + 1
      waiting.set(id, ({ result, error }) =>
        error ? reject(new Error(`${method}: ${error.message}`)) : resolve(result ?? {}),
      )
      socket.send(JSON.stringify({ id, method, params, sessionId }))
    })
  return {
    async open(url) {
      const { targetId } = await send('Target.createTarget', { url })
      const attached = await send('Target.attachToTarget', { targetId, flatten: true })
      return openTab(send, String(targetId), String(attached['sessionId']))
    },
    async close() {
      const gone = once(browser, 'exit')
      browser.kill()
      await gone
      await rm(profile, { recursive: true, force: true, maxRetries: 5, retryDelay: 200 })
    },
  }
}

type Send = (method: string, params: object, sessionId?: string) => Promise<Record<string, unknown>>

const openTab = (send: Send, targetId: string, sessionId: string): PlainTab => ({
  async evaluate<Value>(expression: string) {
    const params = { expression, returnByValue: true, awaitPromise: true }
    const { result } = await send('Runtime.evaluate', params, sessionId)
    return (result as { readonly value: Value }).value
  },
  activate: async () => void (await send('Target.activateTarget', { targetId })),
  async setFrozen(isFrozen) {
    const state = isFrozen ? 'frozen' : 'active'
    await send('Page.setWebLifecycleState', { state }, sessionId)
  },
})
