/** The same ports without deduplication: a log that forgets its verdicts, and a consumer that forgets its marks. */
import { DatabaseSync } from 'node:sqlite'
import type { Log } from '@tidemark/server'
import type { Attempts } from '@tidemark/server/consumer/processed/processed'

/** An id as the log's file has it. */
const toBlob = (id: string): Uint8Array => Buffer.from(id.replaceAll('-', ''), 'hex')

/** A log that does not know an id again. */
export function forgetVerdicts(log: Log, path: string): Log {
  const other = new DatabaseSync(path, { timeout: 5_000 })
  const forget = other.prepare('delete from verdicts where id = ?')
  const append: Log['append'] = (chains) => {
    other.exec('begin immediate')
    for (const { events } of chains.flat()) for (const { id } of events) forget.run(toBlob(id))
    other.exec('commit')
    return log.append(chains)
  }
  return new Proxy(log, {
    get: (target, name) => {
      if (name === 'append') return append
      const member: unknown = Reflect.get(target, name)
      return typeof member === 'function' ? member.bind(target) : member
    },
  })
}

/** Attempts that do not know what is done. */
export const forgetMarks = (attempts: Attempts): Attempts => ({
  ...attempts,
  async standing(consumer, ids) {
    const known = await attempts.standing(consumer, ids)
    return new Map([...known].filter(([, { done }]) => !done))
  },
})
