/** A gateway with its relay and its ingest, composed as always, whose ports know where it is to die. */
import { gateway, type Log } from '@tidemark/server'
import type { Broker } from '@tidemark/server/broker/broker'
import { serviceBus } from '@tidemark/server/broker/service-bus'
import { sqliteLog } from '@tidemark/server/log/sqlite'
import fastify from 'fastify'
import { createLines, fileIn, type Orders, runChild } from './child.ts'
import { forgetVerdicts } from './forget.ts'
import type { Fuse } from './fuse.ts'
import { createHastySystem, hastyBroker } from './hasty.ts'
import { orders } from './orders.ts'

runChild(async ({ folder, connectionString, originMs, without }, fuse) => {
  const system = createHastySystem(originMs)
  const path = fileIn(folder, 'log')
  const file = sqliteLog(path, { system })
  const built = without === 'dedupe' ? forgetVerdicts(file, path) : file
  const app = fastify({ logger: { level: 'warn' } })
  await app.register(gateway, {
    log: armLog(built, fuse, folder),
    broker: armBroker(hastyBroker(serviceBus({ connectionString })), fuse),
    ingest: { subscription: 'gateway', sessions: 16 },
    topics: [orders],
    system,
  })
  const address = await app.listen({ host: '127.0.0.1', port: 0 })
  return `${address.replace('http', 'ws')}/sync`
})

/** Dies after a commit, before anybody hears of it. Writes down the term of whoever moves a relay's cursor. */
function armLog(log: Log, fuse: Fuse, folder: Orders['folder']): Log {
  const noteTerm = createLines(fileIn(folder, 'terms'))
  return {
    async append(chains) {
      const outcomes = await log.append(chains)
      for (const [at, chain] of chains.entries()) {
        const isFresh = outcomes[at]?.some((one) => one.type === 'accepted' && one.fresh)
        if (!isFresh) continue
        fuse.pass(chain[0]?.source === 'broker' ? 'append/settle' : 'commit/verdict')
      }
      return outcomes
    },
    async saveRelayed(lease, name, progress) {
      await log.saveRelayed(lease, name, progress)
      noteTerm({ scope: name.scope, term: lease.term, cursor: progress.cursor })
    },
    head: (...given) => log.head(...given),
    read: (...given) => log.read(...given),
    locate: (...given) => log.locate(...given),
    logs: () => log.logs(),
    lease: (...given) => log.lease(...given),
    release: (...given) => log.release(...given),
    relayed: (...given) => log.relayed(...given),
    remedy: (...given) => log.remedy(...given),
    audit: (...given) => log.audit(...given),
    audits: (...given) => log.audits(...given),
    onAppend: (...given) => log.onAppend(...given),
    close: () => log.close(),
  }
}

/** Dies before what is in the log is sent, or when it is sent and the relay does not know it yet. */
function armBroker(broker: Broker, fuse: Fuse): Broker {
  return {
    limits: broker.limits,
    async publish(topic, messages) {
      fuse.pass('commit/publish')
      const results = await broker.publish(topic, messages)
      if (results.some((error) => error === undefined)) fuse.pass('publish/cursor')
      return results
    },
    receiver: (options) => broker.receiver(options),
    close: () => broker.close(),
  }
}
