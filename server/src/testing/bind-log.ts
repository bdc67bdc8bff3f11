/** A log to build faulty ones of. */
import type { Log } from '../log/log.ts'

/** A log’s methods, to be spread into one that differs in some. */
export function bindLog(log: Log): Log {
  const names = Object.getOwnPropertyNames(Object.getPrototypeOf(log)) as (keyof Log)[]
  const methods = names.map((name) => [name, (log[name] as () => unknown).bind(log)] as const)
  return Object.fromEntries(methods) as unknown as Log
}
