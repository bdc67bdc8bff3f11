/**
 * What is written down while a world runs. Facts are what the checks judge; lines are what a reader of
 * a failure sees; the digest over all lines says whether two runs of one seed were the same.
 */
import type { LogName } from '@tidemark/shared'

/** What the gateway answered on an event, as it went over the wire. */
export type Answer =
  | { readonly type: 'accepted'; readonly position: number; readonly revision: number }
  | {
      readonly type: 'refused'
      readonly code: string
      /** Where the gateway's stream was, in a conflict. */
      readonly actual?: number
    }

/** Something that is certain: it was seen at a port, at the moment it took effect. */
export type Fact =
  /** The transaction that holds these rows of the outbox has committed. */
  | {
      readonly type: 'appended'
      readonly device: string
      readonly author: string
      readonly log: LogName
      readonly lines: readonly string[]
      /** What the batch says it was decided on. */
      readonly after?: string | undefined
      readonly expectedRevision?: number | undefined
    }
  /** These have left the outbox without a verdict: others took their place, or the app took them back. */
  | {
      readonly type: 'left'
      readonly device: string
      readonly how: 'superseded' | 'withdrawn'
      readonly ids: readonly string[]
    }
  /** The app has dealt with these refused events: the device has written that down, or the app was told so. */
  | { readonly type: 'resolved'; readonly device: string; readonly ids: readonly string[] }
  /** What the app was told when it asked for a command. `command` is the correlation of its events. */
  | { readonly type: 'decided'; readonly command: string; readonly isDenied: boolean }
  /** `append` resolved: the app was told that this is saved. `data` is what the app handed over. */
  | {
      readonly type: 'promised'
      readonly device: string
      readonly events: readonly { readonly id: string; readonly data?: unknown }[]
    }
  /** Power failed before the device's disk had kept its promise: these rows may be gone, and those refusals be back. */
  | {
      readonly type: 'forgotten'
      readonly device: string
      readonly ids: readonly string[]
      readonly unresolved: readonly string[]
    }
  /** A service has stored its own event and is going to publish it, as often as it takes. */
  | { readonly type: 'replied'; readonly service: string; readonly line: string }
  /** These entries are on the gateway's disk, and survive whatever comes. */
  | { readonly type: 'committed'; readonly log: LogName; readonly lines: readonly string[] }
  /** All of a log as it is read anew, from the first entry on. */
  | { readonly type: 'reread'; readonly log: LogName; readonly lines: readonly string[] }
  /** A copy has taken the place of the logs that had entries. */
  | { readonly type: 'restored'; readonly logs: readonly RestoredLog[] }
  /** A device was told that it may not read: it hears nothing of a restore, and submits all the same. */
  | { readonly type: 'barred'; readonly device: string }
  /** A verdict left the gateway. */
  | {
      readonly type: 'answered'
      readonly log: LogName
      readonly id: string
      readonly answer: Answer
    }
  /** The app that appended an event learned what became of it: its `settled` resolved. */
  | {
      readonly type: 'told'
      readonly id: string
      readonly answer: {
        readonly type: 'accepted' | 'refused' | 'withdrawn'
        readonly position?: number
      }
    }
  /** Entries left the gateway for a subscriber. */
  | {
      readonly type: 'delivered'
      readonly log: LogName
      readonly after: number
      readonly upTo: number
      readonly lines: readonly string[]
    }
  /** A device's transaction that moves its cursor has committed. */
  | {
      readonly type: 'applied'
      readonly device: string
      readonly log: LogName
      readonly after: number
      readonly upTo: number
      readonly ids: readonly string[]
    }
  /** A device's transaction that takes back the entries after a position has committed. */
  | {
      readonly type: 'rewound'
      readonly device: string
      readonly log: LogName
      readonly upTo: number
    }
  /** Everything a device holds, read in one go. */
  | {
      readonly type: 'device'
      readonly device: string
      readonly pending: readonly string[]
      readonly refused: readonly { readonly id: string; readonly code: string }[]
      readonly logs: readonly DeviceLog[]
    }
  /** The broker has stored a message that the relay sent. */
  | { readonly type: 'published'; readonly log: LogName; readonly id: string }
  /** A relay's cursor has moved, under this term of its lease where that is known. */
  | {
      readonly type: 'relayed'
      readonly log: LogName
      readonly term?: number
      readonly upTo: number
      readonly parked: readonly string[]
    }
  /** The ingest told the broker that a message needs no more care. */
  | { readonly type: 'settled'; readonly id: string }
  /** The broker has handed a message to the service, from this place in its subscription. */
  | { readonly type: 'handed'; readonly id: string; readonly sequence: number }
  /** The service's handler begins with an event. */
  | { readonly type: 'tried'; readonly id: string }
  /** A handler's effect has committed. */
  | { readonly type: 'effect'; readonly id: string; readonly key: string }
  /** A stream waits for a person, because of this event. */
  | {
      readonly type: 'parked'
      readonly id: string
      readonly code: string
      readonly attempts: number
    }
  /** A person has redriven the stream of this event; so often it was said to have worked, of two tries at once. */
  | { readonly type: 'redriven'; readonly id: string; readonly times: number }
  /** A saga's row was written with this term. */
  | { readonly type: 'claimed'; readonly saga: string; readonly term: number }
  /** A saga's act happened at the supplier, who knows it by its key. */
  | {
      readonly type: 'called'
      readonly saga: string
      readonly act: 'run' | 'compensate'
      readonly step: number
      readonly key: string
    }
  /** A saga's act is written down: that has committed. */
  | {
      readonly type: 'moved'
      readonly saga: string
      readonly act: 'run' | 'compensate'
      readonly step: number
    }
  /** A saga has ended: that has committed. */
  | { readonly type: 'ended'; readonly saga: string; readonly outcome: string }

/** A log as a copy holds it, and how far a relay had brought it then. */
export interface RestoredLog {
  readonly log: LogName
  readonly lines: readonly string[]
  readonly relayed: number
}

/** A log as a device holds it. */
export interface DeviceLog {
  readonly log: LogName
  readonly position: number
  readonly ids: readonly string[]
}

const linesMax = 20_000

/** The record of one run. */
export class History {
  readonly #lines: string[] = []
  readonly #judges: ((fact: Fact) => void)[] = []
  #digest = 0x811c9dc5
  #wrong: unknown
  /** How often what happened. */
  readonly counts: Record<string, number> = {}
  /** Says when and where something happened; set by the world that is recorded. */
  stamp: () => string = () => ''

  /** Writes a line. */
  note(line: string): void {
    const stamped = `${this.stamp()} ${line}`
    this.#mix(stamped)
    this.#lines.push(stamped)
    if (this.#lines.length > linesMax) this.#lines.splice(0, linesMax / 2)
  }

  /**
   * Takes a fact to everybody who judges. What a judge throws is kept and not thrown here: production
   * code, which may have caused the fact, would catch it.
   */
  state(fact: Fact): void {
    if (this.#wrong !== undefined) return
    this.count(fact.type === 'left' ? fact.how : fact.type)
    try {
      for (const judge of this.#judges) judge(fact)
    } catch (error) {
      this.complain(error)
    }
  }

  /** Counts what happens, to show that it does. */
  count(what: string, times = 1): void {
    this.counts[what] = (this.counts[what] ?? 0) + times
  }

  /** Keeps the first thing that went wrong. */
  complain(error: unknown): void {
    this.#wrong ??= error
  }

  /** What went wrong first. */
  get wrong(): unknown {
    return this.#wrong
  }

  /** Hears every fact from now on. */
  judge(judge: (fact: Fact) => void): void {
    this.#judges.push(judge)
  }

  /** The newest lines. */
  last(count: number): readonly string[] {
    return this.#lines.slice(-count)
  }

  /** A number that two runs share only when they were the same. */
  get digest(): string {
    return (this.#digest >>> 0).toString(16).padStart(8, '0')
  }

  #mix(text: string): void {
    let digest = this.#digest
    for (let index = 0; index < text.length; index++) {
      digest = Math.imul(digest ^ text.charCodeAt(index), 0x01000193)
    }
    this.#digest = digest
  }
}
