/** What is known of a log: as it is, and as it was each time before it was restored from a copy. */
import type { ReadEntry } from './lines.ts'

/** A log as the gateway's disk holds it, or held it until it was restored from a copy. */
export interface Known {
  readonly entries: ReadEntry[]
  readonly lines: string[]
  /** By id. */
  readonly positions: Map<string, number>
  /** What it was before each time that it was restored, the oldest first. */
  readonly past: readonly Known[]
  readonly revisions: Map<string, number>
  /** By device and stream: the order of the newest event. */
  readonly orders: Map<string, number>
  readonly published: Set<string>
  readonly publishedRevision: Map<string, number>
  /** How far a relay has brought it, and under which term. */
  relayed: { readonly term: number; readonly upTo: number }
}

/** A log without entries, and what it has been. */
export const createKnown = (past: readonly Known[]): Known => ({
  entries: [],
  lines: [],
  positions: new Map(),
  past,
  revisions: new Map(),
  orders: new Map(),
  published: new Set(),
  publishedRevision: new Map(),
  relayed: { term: 0, upTo: 0 },
})

/** Do two logs have the same entries up to a position? */
export function isPrefix(one: Known, position: number, other: Known): boolean {
  if (one === other) return true
  const entries = one.entries.slice(0, position)
  return entries.every((entry) => other.positions.get(entry.event.id) === entry.position)
}
