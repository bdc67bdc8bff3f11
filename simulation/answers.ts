/** What became of events, as the gateway answered it and as apps were told: the same, and for ever. */
import type { Answer, Fact } from './history.ts'
import { fail } from './invariants.ts'
import type { Truth } from './truth.ts'

type FactOf<Type extends Fact['type']> = Extract<Fact, { type: Type }>

/** All answers there were. */
export class Answers {
  readonly #truth: Truth
  readonly #answers = new Map<string, Answer>()
  /** Refused by a gateway whose log has been restored since: it may not know of that. */
  readonly #refusedBefore = new Set<string>()

  constructor(truth: Truth) {
    this.#truth = truth
  }

  /** Has somebody been told that this is accepted? */
  isAccepted(id: string): boolean {
    return this.#answers.get(id)?.type === 'accepted'
  }

  /** A log was restored: what it does not hold is judged anew, and so is what it has refused since the copy. */
  restored(): void {
    for (const [id, { type }] of this.#answers) {
      if (this.#truth.place(id)) continue
      this.#answers.delete(id)
      if (type === 'refused') this.#refusedBefore.add(id)
    }
  }

  /** A verdict left the gateway. */
  answered({ log, id, answer }: FactOf<'answered'>): void {
    const before = this.#answers.get(id)
    // The app may have dealt with what a service said of it, and not with this.
    const isNew = answer.type === 'refused' && !before && this.#truth.wasAccepted(id)
    if (isNew) this.#truth.appended(id).isResolved = false
    if (before && JSON.stringify(before) !== JSON.stringify(answer)) {
      fail('I8', `${id}: first ${JSON.stringify(before)}, then ${JSON.stringify(answer)}.`)
    }
    this.#answers.set(id, answer)
    const place = this.#truth.place(id)
    if (answer.type === 'refused') {
      if (place) fail('I8', `${id} is refused and at ${place.position}.`)
      return
    }
    const entry = this.#truth.log(log).entries[answer.position - 1]
    if (entry?.event.id !== id) {
      fail('I1', `${id} was acknowledged at ${answer.position}, where ${entry?.event.id} is.`)
    }
    if (entry?.revision !== answer.revision) fail('I8', `${id} has revision ${entry?.revision}.`)
  }

  /** What the app learns is what the gateway said: an accepted event’s own place, or a refusal there was. */
  told({ id, answer }: FactOf<'told'>): void {
    const place = this.#truth.place(id)
    const isBefore = this.#truth.wasAt(id, answer.position ?? 0)
    if (answer.type === 'accepted' && place?.position !== answer.position && !isBefore) {
      fail(
        'I8',
        `The app is told that ${id} is at ${answer.position}, and it is at ${place?.position}.`,
      )
    }
    const { batch, left } = this.#truth.appended(id)
    if (answer.type === 'refused' && !batch.some((each) => this.mayBeRefused(each))) {
      fail('I8', `The app is told that ${id} is refused, and no gateway has said so.`)
    }
    if (answer.type === 'withdrawn' && left !== 'withdrawn') {
      fail('I21', `The app is told that ${id} is withdrawn, and it is ${left ?? 'not'}.`)
    }
  }

  /** Where the gateway's stream was, when it refused this because of that. */
  conflictOf(id: string): number | undefined {
    const answer = this.#answers.get(id)
    return answer?.type === 'refused' ? answer.actual : undefined
  }

  /** Refused is what the gateway has refused, and what rests on an event that never comes. */
  mayBeRefused(id: string): boolean {
    if (this.#answers.get(id)?.type === 'refused' || this.#refusedBefore.has(id)) return true
    const { after } = this.#truth.appended(id).ground
    return after !== undefined && this.#isGone(after)
  }

  #isGone(id: string): boolean {
    const { left, isResolved } = this.#truth.appended(id)
    return left !== undefined || isResolved || this.mayBeRefused(id)
  }
}
