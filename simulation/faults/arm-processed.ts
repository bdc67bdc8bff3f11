/** A consumer's database that knows where the process is to die: between two transactions, or inside one. */
import type { Processed, Unit } from '@tidemark/server/consumer'
import { forgetMarks } from './forget.ts'
import type { Fuse } from './fuse.ts'

/** Wraps a consumer's database. */
export function armProcessed<Tx>(
  processed: Processed<Tx>,
  fuse: Fuse,
  isForgetful: boolean,
): Processed<Tx> {
  return {
    transactionsMax: processed.transactionsMax,
    open: () => processed.open(),
    async transaction(work, options) {
      const done = { counted: false, finished: false }
      const result = await processed.transaction(async (unit) => {
        const result = await work(watch(unit, done, isForgetful))
        // Made, and not committed: it must be as if it had never been.
        if (done.finished) fuse.pass('attempt/effect')
        return result
      }, options)
      if (done.counted) fuse.pass('attempt/effect')
      if (done.finished) fuse.pass('effect/settle')
      return result
    },
  }
}

/** Notices when attempts are counted, and when events are done. */
function watch<Tx>(
  unit: Unit<Tx>,
  done: { counted: boolean; finished: boolean },
  isForgetful: boolean,
): Unit<Tx> {
  const attempts = isForgetful ? forgetMarks(unit.attempts) : unit.attempts
  return {
    tx: unit.tx,
    holds: unit.holds,
    outbox: unit.outbox,
    sagas: unit.sagas,
    attempts: {
      ...attempts,
      count(...given) {
        done.counted = true
        return attempts.count(...given)
      },
      finish(consumer, ids, now) {
        done.finished ||= ids.length > 0
        return attempts.finish(consumer, ids, now)
      },
    },
    savepoint: (work) => unit.savepoint(work),
    revision: (...given) => unit.revision(...given),
    advance: (...given) => unit.advance(...given),
    audit: (...given) => unit.audit(...given),
    audits: (...given) => unit.audits(...given),
    backlog: (...given) => unit.backlog(...given),
  }
}
