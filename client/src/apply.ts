/**
 * Hop 8, link to disk. Entries are written with their cursor, and only behind the cursor that they
 * continue from; the outbox rows that they settle leave in the same transaction.
 */
import {
  badFrame,
  type Cursor,
  type Entry,
  type Epoch,
  type FrameOf,
  logKey,
  type LogName,
  parseEntry,
  type Position,
  sleep,
  unreachable,
} from '@tidemark/shared'
import { findDeadLetters } from './dead-letters.ts'
import type { DecidePorts } from './execute.ts'
import type { Follow } from './follow.ts'
import { readOwn } from './offer-again.ts'
import { persist, type PersistPorts } from './persist.ts'
import type { Replica } from './replica.ts'
import type { Session } from './session.ts'
import type { StatusCell } from './status.ts'
import type { Page, Store } from './store/store.ts'
import type { Turns } from './turns.ts'

/** What applying needs. */
export interface ApplyPorts extends PersistPorts {
  readonly store: Store
  readonly replica: Replica
  readonly follow: Follow
  readonly turns: Turns
  readonly status: StatusCell
  readonly deciding: DecidePorts
  /** The database has changed: other tabs should have a look. */
  readonly onWritten: () => void
}

type Told = FrameOf<'subscribed' | 'deliver' | 'caughtUp' | 'reset' | 'revoked'>

/** The applying side of one link. */
export interface Apply {
  /** Takes a frame; the work is done in turn. */
  take(frame: Told): void
  /** This log may not be read. */
  forbidden(log: LogName): void
  /** Does the gateway still owe something? */
  isWaiting(): boolean
}

interface Reading {
  readonly log: LogName
  /** Of the subscription that was answered last; nothing is taken before. */
  epoch?: Epoch | undefined
  caughtUp: boolean
  /** Entries were taken back, and those that came instead have not all been read. */
  isBehind: boolean
  /** How often something did not fit since something did. */
  misfits: number
}

/** A page in the making. */
interface Written extends Page {
  readonly lines: string[]
  readonly entries: Entry[]
  cursor: Cursor
}

const transactionBytesMax = 2_097_152
const misfitsMax = 3
/** What may not be read is asked for again after this time: permissions come back without a word. */
const forbiddenMs = 60_000
const start = 0 as Position

/** The applying side of one link: one frame after the other, several deliveries in one transaction. */
export function openApply(ports: ApplyPorts, session: Session, logs: readonly LogName[]): Apply {
  const { replica, status } = ports
  const readings = new Map<string, Reading>()
  for (const log of logs) {
    readings.set(logKey(log), { log, caughtUp: false, isBehind: false, misfits: 0 })
    status.patchLog(log.topic, { caughtUp: false })
  }
  const inbox: Told[] = []
  let working = false

  return {
    take(frame) {
      inbox.push(frame)
      if (!working) void work()
    },
    forbidden(log) {
      const reading = readings.get(logKey(log))
      if (reading) stopReading(reading)
    },
    isWaiting: () => !working && [...readings.values()].some((reading) => !reading.caughtUp),
  }

  async function work(): Promise<void> {
    working = true
    // What comes together is written together.
    await Promise.resolve()
    try {
      while (inbox[0] && !session.signal.aborted) {
        if (inbox[0].type === 'deliver') await takeDeliveries()
        else await takeOther(inbox.shift() as Exclude<Told, FrameOf<'deliver'>>)
      }
    } catch (error) {
      session.fail(error)
    }
    working = false
  }

  async function takeOther(frame: Exclude<Told, FrameOf<'deliver'>>): Promise<void> {
    const reading = readings.get(logKey(frame))
    if (!reading) return
    switch (frame.type) {
      case 'subscribed':
        reading.epoch = frame.epoch
        // What a restored log still has of this device comes by itself, and need not be offered again.
        if (!reading.isBehind) session.onRead(reading.log)
        return status.forbid(frame.topic, 'read', false)
      case 'caughtUp':
        reading.caughtUp = true
        reading.isBehind = false
        session.onRead(reading.log)
        return status.patchLog(frame.topic, { caughtUp: true })
      case 'revoked':
        return stopReading(reading)
      case 'reset':
        reading.isBehind = true
        session.onRead(reading.log, true)
        await rewind(ports, reading.log, frame)
        return subscribe(reading)
      default:
        return unreachable(frame)
    }
  }

  async function takeDeliveries(): Promise<void> {
    const pages = new Map<string, Written>()
    let misfit: Reading | undefined
    let bytes = 0
    while (inbox[0]?.type === 'deliver' && bytes < transactionBytesMax && !misfit) {
      const frame = inbox.shift() as FrameOf<'deliver'>
      const key = logKey(frame)
      const reading = readings.get(key)
      if (!reading?.epoch) continue
      const page = pages.get(key)
      const position = (page?.cursor ?? replica.cursor(frame))?.position ?? start
      if (frame.epoch === reading.epoch && frame.after === position) {
        pages.set(key, addPage(page, frame))
        bytes += frame.entries.reduce((sum, line) => sum + line.length, 0)
      } else if (frame.epoch !== reading.epoch || frame.upTo > position) {
        misfit = reading
      }
    }
    await writePages([...pages.values()])
    if (misfit) misfitted(misfit)
  }

  async function writePages(pages: readonly Written[]): Promise<void> {
    if (pages.length === 0) return
    const isWritten = await write(ports, pages, session.signal)
    if (session.signal.aborted) return
    for (const page of pages) {
      const reading = readings.get(logKey(page))
      if (!reading) continue
      if (!isWritten) {
        misfitted(reading)
        continue
      }
      reading.misfits = 0
      const { topic, scope, cursor } = page
      session.send({ type: 'applied', topic, scope, upTo: cursor.position })
      session.onProgress('download')
    }
  }

  /** Asks again from where this device stands. A gateway that never finds what fits is left. */
  function misfitted(reading: Reading): void {
    reading.misfits += 1
    if (reading.misfits > misfitsMax) {
      throw badFrame('entries: never at the cursor')
    }
    subscribe(reading)
  }

  function subscribe(reading: Reading): void {
    reading.epoch = undefined
    reading.caughtUp = false
    session.send({ type: 'subscribe', ...subscriptionOf(replica, reading.log) })
  }

  function stopReading(reading: Reading): void {
    reading.epoch = undefined
    // Nothing is owed any more.
    reading.caughtUp = true
    session.onRead(reading.log)
    status.patchLog(reading.log.topic, { caughtUp: false })
    status.forbid(reading.log.topic, 'read', true)
    void askAgain(reading)
  }

  async function askAgain(reading: Reading): Promise<void> {
    await sleep(ports.system, forbiddenMs, session.signal)
    if (!session.signal.aborted && reading.epoch === undefined) subscribe(reading)
  }
}

/** How a log is subscribed to from where this device stands. */
export function subscriptionOf(
  replica: Replica,
  { topic, scope }: LogName,
): LogName & { readonly cursor?: Cursor | undefined } {
  return { topic, scope, cursor: replica.cursor({ topic, scope }) }
}

function addPage(page: Written | undefined, frame: FrameOf<'deliver'>): Written {
  const { topic, scope, epoch, after, upTo } = frame
  const entries = frame.entries.map((line) => parseEntry(frame, line))
  const isGapless = entries.every((entry, index) => entry.position === after + index + 1)
  const last = entries.at(-1)
  if (!isGapless || last?.position !== upTo) throw badFrame('entries: not those it names')
  const cursor = cursorAt(epoch, upTo, last)
  if (!page) return { topic, scope, after, lines: [...frame.entries], entries, cursor }
  page.lines.push(...frame.entries)
  page.entries.push(...entries)
  page.cursor = cursor
  return page
}

const cursorAt = (epoch: Epoch, position: Position, entry: Entry | undefined): Cursor => ({
  epoch,
  position,
  id: entry?.id,
  receivedAt: entry?.receivedAt,
})

/** Writes until the disk takes it or the link ends. Answers `false` where another tab has moved a cursor. */
async function write(
  ports: ApplyPorts,
  pages: readonly Written[],
  signal: AbortSignal,
): Promise<boolean> {
  const { store, replica, follow, turns, onWritten } = ports
  const isWritten = await persist(ports, signal, () =>
    turns(async () => {
      const refused = await findDeadLetters(ports, pages)
      const settled = pages.flatMap((page) => replica.settledBy(page.entries))
      if (!(await store.apply(pages, settled, refused))) return false
      if (refused.length > 0) replica.settle({ seqs: [], refused, accepted: [] })
      for (const page of pages) replica.applied(page, page.entries, page.cursor)
      return true
    }),
  )
  if (isWritten) onWritten()
  else if (isWritten === false) await follow.catchUp()
  return isWritten ?? false
}

/**
 * The log was restored from a copy: takes back the entries that it does not hold any more, and offers again
 * those of this device's user, unless the log is meant to be another one.
 */
async function rewind(
  ports: ApplyPorts,
  log: LogName,
  { epoch, position, startOver }: FrameOf<'reset'>,
): Promise<void> {
  const { store, replica, follow, turns, onWritten } = ports
  await turns(async () => {
    const from = replica.cursor(log)
    const current = from?.position ?? start
    // A reset that leads nowhere would go on for ever; the beginning is common to all logs.
    let target: number = position < current ? position : start
    let last: Entry | undefined
    // On an entry that came alone: the gateway's batches are others now, and one of this device's is taken
    // back as a whole.
    for (; target > 0; target -= 1) {
      const [line] = (await store.read(log, (target - 1) as Position, 1)).lines
      last = line === undefined ? undefined : parseEntry(log, line)
      if (!last?.batch) break
      last = undefined
    }
    const to = cursorAt(epoch, target as Position, last)
    const offered = startOver ? [] : await readOwn(ports, log, to.position)
    await store.rewind(log, from, to, offered)
  })
  onWritten()
  await follow.catchUp()
}
