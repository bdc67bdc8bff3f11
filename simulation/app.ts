/** What an app does with a tab. It waits for each promise, and believes what that says. */
import type { Appended } from '@tidemark/client'
import { compensate, resubmit } from '@tidemark/client/refused'
import { withdraw } from '@tidemark/client/withdraw'
import type { Draft, EventId } from '@tidemark/shared'
import { commandPrefix } from './decisions.ts'
import type { Tab } from './device.ts'
import type { History } from './history.ts'
import { type Amount, audit } from './topics.ts'

/** A command as it is called. */
export interface Call {
  readonly model: 'stock' | 'shelf'
  readonly command: 'count' | 'fill' | 'take' | 'takeInTwo'
  readonly key: string
  readonly input: Amount
}

/** How an app may deal with a refused event. */
export type Remedy = 'discard' | 'resubmit' | 'compensate'

/** What an app is made of. */
export interface AppOptions {
  readonly device: string
  readonly history: History
  readonly onError: (error: unknown) => void
}

type Verdict = Awaited<Appended['settled']>

type Calls = Readonly<
  Record<
    Call['command'],
    (
      input: Amount,
      options: { readonly durability: 'strict' | 'relaxed'; readonly correlationId: string },
    ) => Promise<
      | { readonly ok: false; readonly code: string }
      | {
          readonly ok: true
          readonly ids: readonly EventId[]
          readonly settled: Promise<Verdict & { readonly ids: readonly EventId[] }>
        }
    >
  >
>

const durabilityOf = (isStrict: boolean): 'strict' | 'relaxed' => (isStrict ? 'strict' : 'relaxed')

/** The app of one device. */
export class App {
  readonly #options: AppOptions
  /** What it has appended lately to the log that it reads, newest last. */
  readonly #newest: EventId[] = []
  /** Facts rest on these, so their refusals stay: what rests on an event that nobody remembers would wait for ever. */
  readonly #grounds = new Set<EventId>()
  readonly #resolved = new Set<EventId>()

  constructor(options: AppOptions) {
    this.#options = options
  }

  /** Something that was appended not long ago. */
  recent(pick: (ids: readonly EventId[]) => EventId): EventId | undefined {
    return this.#newest.length > 0 ? pick(this.#newest) : undefined
  }

  /** What it had in memory is gone. */
  forget(): void {
    this.#newest.length = 0
  }

  /** Appends facts. `after` says that they rest on that event. */
  append(tab: Tab, drafts: readonly Draft[], isStrict: boolean, after?: EventId): Promise<void> {
    const ground = after !== undefined && !this.#resolved.has(after) ? { after } : {}
    if (ground.after !== undefined) this.#grounds.add(ground.after)
    const options = { durability: durabilityOf(isStrict), ...ground }
    return this.#wait(tab, 'append', async () => {
      const appended = await tab.client.append(drafts.length === 1 ? drafts[0]! : drafts, options)
      this.#believe(tab, appended, drafts)
    })
  }

  /** Executes a command. */
  execute(tab: Tab, { model, command, key, input }: Call, isStrict: boolean): Promise<void> {
    const { history } = this.#options
    const correlationId = `${commandPrefix}${input.tag}`
    const ties = { durability: durabilityOf(isStrict), correlationId } as const
    return this.#wait(tab, command, async () => {
      const executed = await (tab.client.model[model](key) as unknown as Calls)[command](
        input,
        ties,
      )
      history.note(
        `${tab.life.name} executes ${correlationId}, ${command} on ${key}: ${executed.ok ? executed.ids.join() : executed.code}`,
      )
      history.count(executed.ok ? 'commands' : 'denied')
      history.state({ type: 'decided', command: correlationId, isDenied: !executed.ok })
      if (!executed.ok) return
      const { ids, settled } = executed
      this.#promised(ids.map((id) => ({ id })))
      this.#remember(ids)
      this.#awaitVerdict(tab, correlationId, settled)
    })
  }

  /** Takes an event back, if that is still possible. */
  withdraw(tab: Tab, id: EventId): Promise<void> {
    return this.#wait(tab, 'withdraw', async () => {
      const withdrawn = await withdraw(tab.client, id)
      this.#options.history.note(`${tab.life.name} withdraws ${id}: ${withdrawn.ok}`)
    })
  }

  /** Deals with a refused event: with one that a service has set aside, by a compensation. */
  async resolve(tab: Tab, id: EventId, remedy: Remedy, drafts: readonly Draft[]): Promise<void> {
    if (this.#grounds.has(id)) return
    this.#resolved.add(id)
    const { client } = tab
    const { device } = this.#options
    return this.#wait(tab, remedy, async () => {
      this.#options.history.note(`${tab.life.name} deals with ${id}: ${remedy}`)
      if (remedy === 'discard') await client.refused.discard(id)
      else if (remedy === 'compensate') this.#believe(tab, await compensate(client, id))
      else this.#believe(tab, await resubmit(client, id, drafts), drafts)
      this.#options.history.state({ type: 'resolved', device, ids: [id] })
    })
  }

  async #wait(tab: Tab, what: string, act: () => Promise<void>): Promise<void> {
    tab.waiting += 1
    try {
      await act()
    } catch (error) {
      const reason = String(error).slice(0, 80)
      this.#options.history.note(`${tab.life.name} could not ${what}: ${reason}`)
    } finally {
      tab.waiting -= 1
    }
  }

  #believe(tab: Tab, { ids, settled }: Appended, drafts: readonly Draft[] = []): void {
    this.#promised(ids.map((id, at) => ({ id, data: drafts[at]?.data })))
    if (drafts[0]?.topic !== audit.name) this.#remember(ids)
    const [id] = ids
    if (id !== undefined)
      this.#awaitVerdict(
        tab,
        id,
        settled.then((each) => ({ ...each, ids })),
      )
  }

  #promised(events: readonly { readonly id: EventId; readonly data?: unknown }[]): void {
    const { device, history } = this.#options
    history.state({ type: 'promised', device, events })
  }

  #remember(ids: readonly EventId[]): void {
    this.#newest.push(...ids)
    if (this.#newest.length > 6) this.#newest.splice(0, this.#newest.length - 6)
  }

  #awaitVerdict(
    tab: Tab,
    name: string,
    settled: Promise<Verdict & { readonly ids: readonly EventId[] }>,
  ): void {
    const { history, onError } = this.#options
    tab.unsettled.add(name)
    const learn = async (): Promise<void> => {
      const { type, ids, ...rest } = await settled
      tab.unsettled.delete(name)
      history.note(`${tab.life.name} learns that ${name} is ${type}`)
      const [id = ''] = ids
      history.state({ type: 'told', id, answer: { type, ...rest } })
    }
    learn().catch(onError)
  }
}
