/**
 * Commands: decided on the device, on the state that is shown. What was decided says what it saw, so that
 * the gateway can tell when it does not hold any more; then it is decided again.
 */
import {
  assert,
  type Command,
  decide,
  type Denial,
  deriveUuid,
  type EventId,
  TidemarkError,
} from '@tidemark/shared'
import type { Settled, Writer } from './append.ts'
import type { ModelView } from './model-view.ts'
import { notJson, prepare, type Prepared, type PreparePorts, type Ties } from './prepare.ts'
import type { Replica } from './replica.ts'
import type { Decision, Durability } from './store/store.ts'

/** What goes with a command. */
export interface ExecuteOptions extends Ties {
  /** `relaxed` unless said otherwise: see `Durability`. */
  readonly durability?: Durability
}

/** What a command answers: durable on this device, or denied in the domain's own words. */
export type Executed<Denied extends Denial = never> =
  | {
      readonly ok: true
      readonly ids: readonly EventId[]
      /** What became of it in the end, over however many decisions. May take days. */
      readonly settled: Promise<Settled<Denied>>
    }
  | Denied

/**
 * The commands of a model, as an app calls them on a key. Resolve when what was decided is durable on this
 * device, network or not, or with the denial. Reject with `SCHEMA_INVALID` where the input does not fit,
 * `COMMAND_FAILED` where the command throws, and with what `append` rejects with.
 */
export type CommandCalls<Commands> = {
  readonly [Name in keyof Commands]: Commands[Name] extends Command<infer Input, infer Denied>
    ? (input: Input, options?: ExecuteOptions) => Promise<Executed<Denied>>
    : never
}

/** The denials that the commands of a model may answer with. */
export type DenialsOf<Commands> = {
  [Name in keyof Commands]: Commands[Name] extends Command<infer _Input, infer Denied>
    ? Denied
    : never
}[keyof Commands]

/** What deciding needs. */
export interface DecidePorts extends PreparePorts {
  readonly replica: Replica
  readonly views: readonly ModelView[]
}

/** What executing needs. */
export interface ExecutePorts extends DecidePorts {
  readonly writer: Writer
  /** Resolves when everything that is on the disk now is in memory. */
  readonly catchUp: () => Promise<void>
  /** Resolves when all models have been folded. */
  readonly built: () => Promise<void>
}

/** Executes the command of a model on a key. */
export type Execute = (
  call: Pick<Decision, 'model' | 'key' | 'command' | 'input'>,
  options?: ExecuteOptions,
) => Promise<Executed<Denial>>

/** Starts to take commands. */
export function openExecute(ports: ExecutePorts): Execute {
  const { system, writer, views } = ports
  return async ({ model, key, command, input }, options = {}) => {
    const given = toJson(input)
    const call = { model, key, command, input: given, commandId: system.uuid(), attempt: 0 }
    const view = viewOf(views, call)
    const release = view.builds.hold(key)
    try {
      await learn(ports, view, key)
      return await writer.write({
        prepare: () => decideOn(ports, call, options),
        looksAt: `${view.topic}/${key}`,
        durability: options.durability,
      })
    } finally {
      release()
    }
  }
}

/** Resolves when what a decision on a key sees is in memory. */
async function learn(ports: ExecutePorts, view: ModelView, key: string): Promise<void> {
  const { replica, catchUp, built } = ports
  if (!replica.isLoaded) await catchUp()
  while (!view.builds.knows(key)) {
    await built()
    view.want(key)
    await catchUp()
  }
}

/** More events than any batch can hold. */
const placesMax = 2 ** 14

const nothing: ReadonlySet<EventId> = new Set()

/**
 * Decides on what is shown, but for the pending events in `except`. The events' ids follow from the command
 * and the attempt, so that the same decision is the same events, in whichever tab it is made.
 */
export function decideOn(
  ports: DecidePorts,
  decision: Decision,
  ties: Ties,
  except: ReadonlySet<EventId> = nothing,
): Prepared | Denial {
  const { model, key, command: name, input, commandId, attempt } = decision
  const view = viewOf(ports.views, decision)
  const pending = ports.replica.outbox.pendingOn({ topic: view.topic, stream: key }, except)
  const after = pending.at(-1)
  const command = (view.model.commands as Record<string, Command>)[name]
  // `viewOf` has looked for it.
  assert(command)
  const emit = view.model.topic.stream(key)
  const decided = guard(view, { model, command: name }, () =>
    decide(command, view.stateFor(key, except), input, emit),
  )
  if (!decided.ok) return decided
  return prepare(
    ports,
    decided.drafts,
    ties,
    {
      decision,
      expectedRevision: view.revision(key) + pending.length,
      after,
    },
    (at) => deriveUuid(commandId, attempt * placesMax + at),
  )
}

/** The view of the model that a command belongs to. Throws `UNKNOWN_COMMAND`. */
export function viewOf(
  views: readonly ModelView[],
  { model, command }: Pick<Decision, 'model' | 'command'>,
): ModelView {
  const view = views.find(({ name }) => name === model)
  if (!view || !Object.hasOwn(view.model.commands as object, command)) {
    throw new TidemarkError('UNKNOWN_COMMAND', { model, command })
  }
  return view
}

/** A command that throws is the app's fault: said with a code, and the model is marked. */
function guard<Result>(
  view: ModelView,
  what: { readonly model: string; readonly command: string },
  run: () => Result,
): Result {
  try {
    return run()
  } catch (cause) {
    if (cause instanceof TidemarkError) throw cause
    view.degrade(cause)
    const reason = String(cause).slice(0, 200)
    throw new TidemarkError('COMMAND_FAILED', { ...what, reason }, { cause })
  }
}

/** The input as it will be read when the command is decided again. */
function toJson(input: unknown): unknown {
  try {
    return input === undefined ? undefined : JSON.parse(JSON.stringify(input))
  } catch (cause) {
    throw notJson(cause)
  }
}
