/**
 * A log's entries as messages, a page at a time. The next page is made ready while the broker is at work
 * on the last: what both sides need for an event takes about as long.
 */
import type { Entry, Epoch, LogName, Position, System } from '@tidemark/shared'
import type { Message } from './broker/broker.ts'
import { toMessage } from './cloudevents.ts'
import type { Log, Page } from './log/log.ts'

/**
 * One page, in UTF-16 code units of entry lines. It is a few of the broker's batches, so that most of them
 * are packed while another is on its way.
 */
const pageLengthMax = 524_288

/** An entry on its way to the broker. */
export interface Item {
  readonly entry: Entry
  readonly message: Message
}

/** A run of the log, of which the items are ours to publish. */
export interface ItemPage extends Pick<Page, 'upTo' | 'more'> {
  readonly items: readonly Item[]
}

/** Reads one log. */
export class RelayPages {
  readonly #log: Log
  readonly #name: LogName
  readonly #epoch: Epoch
  readonly #system: System
  #ahead: { readonly after: Position; readonly page: ItemPage } | undefined

  constructor(log: Log, name: LogName, epoch: Epoch, system: System) {
    this.#log = log
    this.#name = name
    this.#epoch = epoch
    this.#system = system
  }

  /** The page after a position, which may have been read ahead. */
  async take(after: Position): Promise<ItemPage> {
    const ahead = this.#ahead
    this.#ahead = undefined
    return ahead?.after === after ? ahead.page : await this.read(after)
  }

  /** Makes the page after a position ready to be taken. Call it while something is being published. */
  async readAhead(after: Position): Promise<void> {
    // By then what is published is on the wire, and we do not hold it up.
    await this.#system.breathe()
    try {
      this.#ahead = { after, page: await this.read(after) }
    } catch {
      // It goes wrong again, and is heard of, when it is its turn.
    }
  }

  /** The page after a position. What came from the broker is there already, and is no item. */
  async read(after: Position): Promise<ItemPage> {
    const { upTo, more, chunks } = await this.#log.read(this.#name, after, pageLengthMax)
    const items = chunks
      .flatMap((chunk) => chunk.split('\n'))
      .map((line) => ({ line, entry: readEntry(this.#name, line) }))
      .filter(({ entry }) => entry.source === 'client')
      .map(({ line, entry }) => ({
        entry,
        message: toMessage(this.#name, this.#epoch, line, entry),
      }))
    return { upTo, more, items }
  }
}

/** The entry on a line of our own log. Its claim was checked before it was stored. */
function readEntry(log: LogName, line: string): Entry {
  const { event, ...placement } = JSON.parse(line) as { readonly event: object }
  return { ...log, ...event, ...placement } as Entry
}
