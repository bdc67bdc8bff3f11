/** Ids that follow from what caused them: whoever does the same again comes to the same id, so a repeat is a duplicate. */
import { createHash } from 'node:crypto'
import type { EventId } from '@tidemark/shared'

/** A UUID of version 8 from the SHA-256 of the parts. */
export function deriveId(...parts: readonly (string | number)[]): EventId {
  const bytes = createHash('sha256').update(JSON.stringify(parts)).digest().subarray(0, 16)
  bytes[6] = ((bytes[6] ?? 0) & 0x0f) | 0x80
  bytes[8] = ((bytes[8] ?? 0) & 0x3f) | 0x80
  const hex = bytes.toString('hex')
  return [
    hex.slice(0, 8),
    hex.slice(8, 12),
    hex.slice(12, 16),
    hex.slice(16, 20),
    hex.slice(20),
  ].join('-') as EventId
}
