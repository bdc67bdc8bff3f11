/**
 * How entries and batches lie in the records of a store that charges by the record, as IndexedDB does:
 * many in one, under a key that keeps their order.
 */
import { type Cursor, type LogName, logKey } from '@tidemark/shared'
import type { Batch, OutboxRow, Page } from './store.ts'

/** Entries that follow each other, under the key `[log, position of the last]`. */
export interface Segment {
  readonly first: number
  /** One line for each entry. */
  readonly text: string
}

/** A segment with its place. */
export interface PlacedSegment extends Segment {
  readonly last: number
  /** The last position of the segment that this one takes the place of. */
  readonly replaces?: number
}

const segmentLengthMin = 16_384
const segmentLengthMax = 131_072

/** How many segments come to about this many bytes. */
export const countSegments = (bytes: number): number => Math.ceil(bytes / segmentLengthMin)

/** Do two cursors stand on the same entry? */
export const isSamePlace = (a: Cursor | undefined, b: Cursor | undefined): boolean =>
  a?.position === b?.position && a?.id === b?.id

/** The key of a segment. */
export const segmentKey = (log: LogName, last: number): [string, number] => [logKey(log), last]

/** Cuts a page into segments. `tail` is the one before it: if it is small, it is written again with what follows. */
export function toSegments(page: Page, tail: PlacedSegment | undefined): readonly PlacedSegment[] {
  const merged = tail?.last === page.after && tail.text.length < segmentLengthMin ? tail : undefined
  const segments: PlacedSegment[] = []
  let lines: string[] = merged ? [merged.text] : []
  let length = merged?.text.length ?? 0
  let first = merged?.first ?? page.after + 1
  for (const [at, line] of page.lines.entries()) {
    lines.push(line)
    length += line.length + 1
    const last = page.after + at + 1
    if (length < segmentLengthMax && at < page.lines.length - 1) continue
    const replaces = merged && segments.length === 0 ? { replaces: merged.last } : {}
    segments.push({ first, last, text: lines.join('\n'), ...replaces })
    lines = []
    length = 0
    first = last + 1
  }
  return segments
}

/** The lines of a segment after a position. */
export const linesAfter = ({ first, text }: Segment, position: number): readonly string[] =>
  text.split('\n').slice(Math.max(0, position + 1 - first))

/** What stays of a segment that reaches beyond a position. */
export const cutSegment = ({ first, text }: Segment, position: number): Segment => ({
  first,
  text: text
    .split('\n')
    .slice(0, position - first + 1)
    .join('\n'),
})

/** Batches that were appended together, under the `seq` of the first. What has settled leaves its place empty. */
export interface Pack {
  readonly seq: number
  readonly batches: readonly (Batch | null)[]
}

/** Batches in one pack: few enough that taking out one by one stays cheap. */
export const packBatchesMax = 64
const packLengthMax = 65_536

/**
 * Packs batches whose numbers begin at `seq`. The last one stands alone: IndexedDB goes on counting from
 * the greatest key that it was given, and the next append has to get the number after these.
 */
export function toPacks(seq: number, batches: readonly Batch[]): readonly Pack[] {
  const packs: { readonly seq: number; readonly batches: Batch[] }[] = []
  let length = Infinity
  for (const [at, batch] of batches.entries()) {
    const pack = packs.at(-1)
    const isFull = length >= packLengthMax || pack?.batches.length === packBatchesMax
    if (!pack || isFull || at === batches.length - 1) {
      packs.push({ seq: seq + at, batches: [batch] })
      length = 0
    } else {
      pack.batches.push(batch)
    }
    for (const line of batch.lines) length += line.length
  }
  return packs
}

/** How many packs are read for about this many bytes: enough for appends one by one, which make the smallest. */
export const countPacks = (bytes: number): number =>
  Math.max(2 * packBatchesMax, Math.ceil(bytes / 4_096))

/** The rows that are left in a pack. */
export const toRows = ({ seq, batches }: Pack): readonly OutboxRow[] =>
  batches.flatMap((batch, at) => (batch ? [{ ...batch, seq: seq + at }] : []))

/** A pack without these rows: the same one where it has none of them, nothing where it has no others. */
export function withoutRows(pack: Pack, gone: ReadonlySet<number>): Pack | undefined {
  const { seq, batches } = pack
  if (!batches.some((batch, at) => batch && gone.has(seq + at))) return pack
  const left = batches.map((batch, at) => (gone.has(seq + at) ? null : batch))
  return left.some((batch) => batch) ? { seq, batches: left } : undefined
}
