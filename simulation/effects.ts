/**
 * What a service has done, judged from what its database committed and what its supplier was told: every
 * effect once, in the order of its stream; every event somewhere; every saga done or undone.
 */
import type { Fact } from './history.ts'
import { fail } from './invariants.ts'

type FactOf<Type extends Fact['type']> = Extract<Fact, { type: Type }>

interface Saga {
  /** Steps that are committed as run, and as compensated. */
  readonly run: Set<number>
  readonly compensated: Set<number>
  /** The key of each act that was called. */
  readonly keys: Map<string, string>
  outcome?: string
}

/** The step whose outcome may stay unknown, and is compensated then. */
const unsureStep = 1
const stepsCount = 3

/** The model of a service's effects. */
export class Effects {
  readonly #effects = new Set<string>()
  /** By id: the first place in its subscription that it was handed out from. */
  readonly #arrivals = new Map<string, number>()
  readonly #newest = new Map<string, number>()
  readonly #tries = new Map<string, number>()
  readonly #parked = new Set<string>()
  readonly #sagas = new Map<string, Saga>()
  readonly #terms = new Map<string, number>()

  /** Has this event had its effect? */
  has(id: string): boolean {
    return this.#effects.has(id)
  }

  /** The events whose streams were parked for them, ever. */
  get parked(): ReadonlySet<string> {
    return this.#parked
  }

  /** A service was handed this message. */
  handed({ id, sequence }: FactOf<'handed'>): void {
    this.#arrivals.set(id, Math.min(sequence, this.#arrivals.get(id) ?? sequence))
  }

  /** A handler begins. It may not begin more often than it is allowed to. */
  tried({ id }: FactOf<'tried'>, attemptsMax: number): void {
    const tries = (this.#tries.get(id) ?? 0) + 1
    // One attempt in company is not the event's own, and comes on top.
    if (tries > attemptsMax + 1) fail('I15', `${id} is tried for the ${tries}th time.`)
    this.#tries.set(id, tries)
  }

  /** Somebody lets it try anew. */
  redriven({ id, times }: FactOf<'redriven'>): void {
    if (times > 1) fail('I15', `${id} was redriven ${times} times by one person at once.`)
    this.#tries.delete(id)
  }

  /** Its stream waits for a person. */
  park({ id, code, attempts }: FactOf<'parked'>): void {
    if (code === '' || attempts < 1) fail('I15', `${id} is parked and nothing says why.`)
    this.#parked.add(id)
  }

  /** An effect is committed. */
  effect({ id, key }: FactOf<'effect'>, isOrdered: boolean): void {
    if (this.#effects.has(id)) fail('I9', `${id} has its effect twice.`)
    this.#effects.add(id)
    const arrival = this.#arrivals.get(id)
    if (arrival === undefined) return fail('I9', `${id} has an effect and was handed to nobody.`)
    const before = this.#newest.get(key) ?? 0
    if (isOrdered && before > arrival) fail('I16', `${id} of ${key} was overtaken at a service.`)
    this.#newest.set(key, arrival)
  }

  /** A saga was claimed, or let go. */
  claimed({ saga, term }: FactOf<'claimed'>): void {
    const before = this.#terms.get(saga) ?? 0
    if (term < before) fail('I19', `Saga ${saga} is written with term ${term} after ${before}.`)
    this.#terms.set(saga, term)
  }

  /** A saga's act reached the supplier. */
  called({ saga: id, act, step, key }: FactOf<'called'>): void {
    const saga = this.#saga(id)
    const place = `${act} ${step}`
    const before = saga.keys.get(place)
    if (before !== undefined && before !== key) {
      fail('I9', `${place} of saga ${id} came to the supplier under two keys: it happened twice.`)
    }
    saga.keys.set(place, key)
    if (act === 'compensate') this.#checkTurn(id, saga, step)
  }

  /** A saga's act is written down. */
  moved({ saga: id, act, step }: FactOf<'moved'>): void {
    const saga = this.#saga(id)
    const { run, compensated } = saga
    if (saga.outcome) fail('I17', `Saga ${id} goes on after its end.`)
    if (act === 'compensate') {
      this.#checkTurn(id, saga, step)
      if (compensated.has(step)) fail('I17', `Step ${step} of saga ${id} is compensated twice.`)
      compensated.add(step)
      return
    }
    if (compensated.size > 0 || step !== run.size) {
      fail('I17', `Step ${step} of saga ${id} comes after ${run.size} steps.`)
    }
    run.add(step)
  }

  /** A saga says how it ended. */
  ended({ saga: id, outcome }: FactOf<'ended'>): void {
    const saga = this.#saga(id)
    const { run, compensated } = saga
    if (saga.outcome) fail('I17', `Saga ${id} ends twice.`)
    saga.outcome = outcome
    const left = [...run].filter((step) => !compensated.has(step))
    if (outcome === 'compensated' && left.length > 0) {
      fail('I17', `Saga ${id} is compensated but for ${left.join()}.`)
    }
    if (outcome === 'completed' && (run.size !== stepsCount || compensated.size > 0)) {
      fail('I17', `Saga ${id} is completed with ${run.size} steps.`)
    }
  }

  /** Only what has run is compensated, and what ran after it is compensated by then. */
  #checkTurn(id: string, { run, compensated }: Saga, step: number): void {
    // What the supplier was asked may have happened, though its answer was lost and nothing is written down.
    if (!run.has(step) && step !== unsureStep) {
      fail('I17', `Step ${step} of saga ${id} is compensated and never ran.`)
    }
    const later = [...run].find((other) => other > step && !compensated.has(other))
    if (later !== undefined) fail('I17', `Saga ${id} compensates ${step} before ${later}.`)
  }

  #saga(id: string): Saga {
    const known = this.#sagas.get(id) ?? {
      run: new Set<number>(),
      compensated: new Set<number>(),
      keys: new Map<string, string>(),
    }
    this.#sagas.set(id, known)
    return known
  }
}
