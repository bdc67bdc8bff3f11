/** Sizes as the wire counts them, and what is over them. */
import { type Limits, TidemarkError } from '@tidemark/shared'

/** More than the JSON of a submit frame, in bytes, without what names its batches. */
export const frameHeadBytesMax = 100
/** More than the JSON that names one batch in it. */
const batchHeadBytesMax = 400

/** Why no frame can carry a batch. */
export interface Excess {
  /** The place of the event that is the reason. */
  readonly at: number
  readonly error: TidemarkError<'BATCH_TOO_LARGE' | 'EVENT_TOO_LARGE'>
}

const encoder = new TextEncoder()

/** How many bytes a text has in UTF-8. */
export const utf8Length = (text: string): number => encoder.encode(text).length

/** No fewer bytes than the lines of a batch and what names it take in a submit frame. */
export const batchBytes = (lines: readonly string[]): number =>
  lines.reduce((sum, line) => sum + utf8Length(line) + 1, batchHeadBytesMax)

/** Why no frame within these limits can carry these lines as one batch, if so. */
export function findExcess(
  lines: readonly string[],
  { batchEventsMax, eventBytesMax, frameBytesMax }: Limits,
): Excess | undefined {
  const events = lines.length
  if (events > batchEventsMax) {
    const error = new TidemarkError('BATCH_TOO_LARGE', { events, max: batchEventsMax })
    return { at: 0, error }
  }
  for (const [at, line] of lines.entries()) {
    const bytes = utf8Length(line)
    if (bytes <= eventBytesMax) continue
    return { at, error: new TidemarkError('EVENT_TOO_LARGE', { bytes, max: eventBytesMax }) }
  }
  const bytes = frameHeadBytesMax + batchBytes(lines)
  if (bytes <= frameBytesMax) return undefined
  return { at: 0, error: new TidemarkError('BATCH_TOO_LARGE', { bytes, max: frameBytesMax }) }
}
