/** Reads the lines that events and entries travel in, without any of the parsers that are under test. */

/** An entry as the checks read it. */
export interface ReadEntry {
  readonly position: number
  readonly revision: number
  readonly receivedAt: number
  readonly source: string
  readonly author: string
  readonly batch?: string
  readonly event: ReadEvent
  /** The author's own bytes. */
  readonly claim: string
}

/** An event as the checks read it. */
export interface ReadEvent {
  readonly id: string
  readonly stream: string
  readonly type: string
  readonly causationId?: string
  readonly correlationId?: string
  readonly data: unknown
}

/** The event on an author's line. */
export const readEvent = (line: string): ReadEvent => JSON.parse(line) as ReadEvent

/** The entry on a log's line. */
export function readEntry(line: string): ReadEntry {
  const at = line.indexOf(',"event":')
  return { ...(JSON.parse(line) as ReadEntry), claim: line.slice(at + 9, -1) }
}

const firstId = /"id":"([0-9a-f-]{36})"/

/** The id of the event on a line of either kind: the first there is. */
export const idOf = (line: string): string => firstId.exec(line)?.[1] ?? ''
