/** A progress bar for a terminal. Where the output is not one, nothing is drawn. */
import type { ImportProgress } from './stock.ts'

const width = 32

/** Draws a bar over the one before it, and ends the line when all is done. */
export function drawBar(label: string): (progress: ImportProgress) => void {
  let drawn = -1
  return ({ done, total }) => {
    const filled = Math.floor((done / total) * width)
    const last = done === total
    if (!process.stdout.isTTY || (filled === drawn && !last)) return
    drawn = filled
    const bar = '█'.repeat(filled) + '░'.repeat(width - filled)
    const counts = `${done.toLocaleString('en')} / ${total.toLocaleString('en')}`
    process.stdout.write(`\r  ${label}  ${bar}  ${counts}${last ? '\n' : ''}`)
  }
}
