/** Faults on order: what a broker does on its bad days, for tests that must see it today. */
import type { Condition, Refused } from './message.ts'

interface Planned {
  left: number
  readonly ms?: number
  readonly refused?: Refused
}

type Kind = 'refuse-send' | 'delay-send' | 'delay-settle'

/**
 * Plans faults by the path of an entity (`orders`, `orders/subscriptions/billing`), in any case of
 * letters; `*` is every entity. Each counts down with every use.
 */
export class Faults {
  readonly #planned = new Map<string, Planned>()
  readonly #silent = new Set<string>()
  #expire: (path: string) => void = () => {}
  #wake: (path: string) => void = () => {}

  /** How faults reach the mailboxes; called by the namespace. */
  bind(expire: (path: string) => void, wake: (path: string) => void): void {
    this.#expire = expire
    this.#wake = wake
  }

  /** Refuses the next sends to an entity: `com.microsoft:server-busy`, `amqp:resource-limit-exceeded`, … */
  refuseSends(path: string, condition: Condition, times = 1): void {
    const refused = { condition, description: descriptions[condition] ?? 'A fault on order.' }
    this.#plan('refuse-send', path, { left: times, refused })
  }

  /** Stores what the next sends bring, and answers after `ms`, or never where it is `Infinity`. */
  delaySends(path: string, ms: number, times = 1): void {
    this.#plan('delay-send', path, { left: times, ms })
  }

  /** Does what the next settlements ask for, and answers after `ms`, or never where it is `Infinity`. */
  delaySettlements(path: string, ms: number, times = 1): void {
    this.#plan('delay-settle', path, { left: times, ms })
  }

  /** Hands out nothing any more, without an error: a receiver that silently died. */
  silence(path: string, isSilent = true): void {
    if (isSilent) this.#silent.add(path.toLowerCase())
    else if (this.#silent.delete(path.toLowerCase())) this.#wake(path)
  }

  /** Ends every lock on an entity, as if its time had come. */
  expireLocks(path: string): void {
    this.#expire(path)
  }

  /** Forgets everything that is planned. */
  clear(): void {
    this.#planned.clear()
    const silent = [...this.#silent]
    this.#silent.clear()
    for (const path of silent) this.#wake(path)
  }

  /** The refusal that the next send to an entity gets, if one is planned. Uses it up. */
  takeSendRefusal(path: string): Refused | undefined {
    return this.#take('refuse-send', path)?.refused
  }

  /** How long the answer to the next send waits, in ms. Uses it up. */
  takeSendDelay(path: string): number {
    return this.#take('delay-send', path)?.ms ?? 0
  }

  /** How long the answer to the next settlement waits, in ms. Uses it up. */
  takeSettlementDelay(path: string): number {
    return this.#take('delay-settle', path)?.ms ?? 0
  }

  /** Does this mailbox hand out nothing? */
  isSilent(path: string): boolean {
    return this.#silent.size > 0 && (this.#silent.has(path.toLowerCase()) || this.#silent.has('*'))
  }

  #plan(kind: Kind, path: string, planned: Planned): void {
    this.#planned.set(`${kind} ${path.toLowerCase()}`, planned)
  }

  #take(kind: Kind, path: string): Planned | undefined {
    if (this.#planned.size === 0) return undefined
    for (const key of [`${kind} ${path.toLowerCase()}`, `${kind} *`]) {
      const planned = this.#planned.get(key)
      if (!planned) continue
      planned.left -= 1
      if (planned.left <= 0) this.#planned.delete(key)
      return planned
    }
    return undefined
  }
}

const descriptions: { readonly [C in Condition]?: string } = {
  'com.microsoft:server-busy':
    'The request was terminated because the entity is being throttled. Error code : 50009. Please wait 2 seconds and try again.',
  'amqp:resource-limit-exceeded': 'The maximum entity size has been reached or exceeded.',
  'amqp:unauthorized-access':
    "Unauthorized access. 'Send' claim(s) are required to perform this operation.",
  'com.microsoft:entity-disabled': 'The messaging entity is currently disabled.',
}
