/** A log to build faulty ones of. */
import type { Log } from '../log/log.ts'

/** A log’s methods, to be spread into one that differs in some. */
export function bindLog(log: Log): Log {
  return {
    append: (chains) => log.append(chains),
    head: (name) => log.head(name),
    read: (name, position, bytesMax) => log.read(name, position, bytesMax),
    locate: (name, cursor) => log.locate(name, cursor),
    logs: () => log.logs(),
    lease: (name, holder, ms) => log.lease(name, holder, ms),
    release: (lease) => log.release(lease),
    relayed: (name) => log.relayed(name),
    saveRelayed: (lease, name, progress) => log.saveRelayed(lease, name, progress),
    remedy: (name, remedy) => log.remedy(name, remedy),
    remedies: (name, max) => log.remedies(name, max),
    onAppend: (heard) => log.onAppend(heard),
    close: () => log.close(),
  }
}
