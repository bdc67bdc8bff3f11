/**
 * Commands: decisions on a model's state. A command is pure; it answers with the events that follow from
 * it, or with a refusal in the domain's own words. What it decided on can change before it is accepted,
 * so it may be asked again with a newer state.
 */
import type { StandardSchemaV1 } from '@standard-schema/spec'
import { assert } from './assert.ts'
import type { Draft } from './event.ts'
import { type AnyDrafts, checkSchema } from './topic.ts'

/** A decision against: the domain's own code, and what an app needs to explain it. */
export interface Denial<Code extends string = string, Details = unknown> {
  readonly ok: false
  readonly code: Code
  readonly details: Details
}

/**
 * Says no, from inside a command.
 *
 * @example
 * return state.onHand < quantity ? refuse('OUT_OF_STOCK', { onHand: state.onHand }) : emit.StockPicked({ quantity })
 */
export function refuse<const Code extends string>(code: Code): Denial<Code, undefined>
export function refuse<const Code extends string, Details>(
  code: Code,
  details: Details,
): Denial<Code, Details>
export function refuse(code: string, details?: unknown): Denial {
  return { ok: false, code, details }
}

/** What a command may answer: one event of its stream, several that stand or fall together, or a denial. */
export type Decided = Draft | readonly Draft[] | Denial

/** A command of a model. `Input` is what an app passes, `Denied` are the denials it may get. */
export interface Command<Input = unknown, Denied extends Denial = Denial> {
  readonly schema: StandardSchemaV1<Input, unknown>
  readonly decide: (state: unknown, input: unknown, emit: AnyDrafts) => Decided
  /** Type only: the denials that `decide` may answer with. */
  readonly denies?: Denied
}

/** A command of any input and denial. */
// oxlint-disable-next-line typescript/no-explicit-any -- an input is contravariant; only any holds them all
export type AnyCommand = Command<any, any>

const isDenial = (decided: Decided): decided is Denial => 'ok' in decided && !decided.ok

/** What a command decides on `state`. Throws `SCHEMA_INVALID` where the input does not fit; what the command itself throws is its own. */
export function decide(
  command: AnyCommand,
  state: unknown,
  input: unknown,
  emit: AnyDrafts,
): { readonly ok: true; readonly drafts: readonly Draft[] } | Denial {
  const decided = command.decide(state, checkSchema(command.schema, input), emit)
  if (isDenial(decided)) return decided
  const drafts = Array.isArray(decided) ? (decided as readonly Draft[]) : [decided as Draft]
  assert(drafts.length > 0, 'a command decides on at least one event, or refuses')
  return { ok: true, drafts }
}
