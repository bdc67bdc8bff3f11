/**
 * The relay's parked streams as dead letters. A redrive is a wish in the log: the relay that holds the lease
 * reads the stream again from where it stopped, so its order is kept whoever asks and however often.
 */
import { logKey, type LogName, parseEntry, type Position, type System } from '@tidemark/shared'
import { memberText } from '../json.ts'
import type { Log, Parked, Remedy } from '../log/log.ts'
import {
  type Act,
  type ActResult,
  type DeadLetter,
  type DeadLetterSource,
  eventsShown,
  toRef,
} from './dead-letters.ts'

const source = 'relay'
/** One look at the log, in UTF-16 code units of lines. */
const pageLengthMax = 131_072

/** Builds the source over a log. */
export function parkedStreams({ log, system }: { log: Log; system: System }): DeadLetterSource {
  const find = async (rest: readonly string[]): Promise<[LogName, Parked] | undefined> => {
    const [topic = '', scope = '', stream, revision] = rest
    const { parked } = await log.relayed({ topic, scope })
    const found = parked.find((one) => one.stream === stream)
    return found && String(found.fromRevision) === revision ? [{ topic, scope }, found] : undefined
  }

  async function ask(
    rest: readonly string[],
    action: Remedy['action'],
    { by, note }: Act,
  ): Promise<ActResult> {
    const found = await find(rest)
    if (!found) return 'gone'
    const [name, { stream, fromRevision }] = found
    const subject = refOf(name, found[1])
    const record = { at: system.now(), by, action, subject, note }
    const isNew = await log.remedy(name, { stream, fromRevision, action }, record)
    return isNew ? 'asked' : 'gone'
  }

  return {
    name: source,
    async list(max) {
      const found: DeadLetter[] = []
      for (const name of await log.logs()) {
        if (found.length >= max) break
        const { parked } = await log.relayed(name)
        found.push(...parked.map((one) => toDeadLetter(name, one)))
      }
      return found.slice(0, max)
    },
    async show(rest) {
      const found = await find(rest)
      if (!found) return undefined
      const [name, parked] = found
      const lines = await readLines(log, name, parked)
      return { ...toDeadLetter(name, parked), lines }
    },
    redrive: (rest, act) => ask(rest, 'redrive', act),
    discard: (rest, act) => ask(rest, 'discard', act),
  }
}

const refOf = ({ topic, scope }: LogName, { stream, fromRevision }: Parked): string =>
  toRef(source, topic, scope, stream, fromRevision)

const toDeadLetter = (name: LogName, parked: Parked): DeadLetter => ({
  ref: refOf(name, parked),
  where: 'relay',
  topic: name.topic,
  key: logKey({ topic: name.scope, scope: parked.stream }),
  code: parked.code,
  reason: parked.reason,
  attempts: parked.attempts,
  asked: parked.remedy,
})

/** The claims of a parked stream from where it stopped. */
async function readLines(log: Log, name: LogName, parked: Parked): Promise<readonly string[]> {
  const lines: string[] = []
  let position = (parked.fromPosition - 1) as Position
  for (;;) {
    const { chunks, upTo, more } = await log.read(name, position, pageLengthMax)
    for (const line of chunks.flatMap((chunk) => chunk.split('\n'))) {
      const { stream, source: from, position: at } = parseEntry(name, line)
      if (stream !== parked.stream || from !== 'client' || at < parked.fromPosition) continue
      lines.push(memberText(line, 'event') ?? line)
      if (lines.length === eventsShown) return lines
    }
    if (!more) return lines
    position = upTo
  }
}
