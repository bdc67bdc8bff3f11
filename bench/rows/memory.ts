/** What a connection costs while nothing happens on it. */
import { setTimeout as sleep } from 'node:timers/promises'
import type { Bench, Run } from '../bench.ts'
import { startServer } from '../process.ts'
import { type Link, openLink } from '../wire.ts'
import { servers, type Target } from './sides.ts'

const warming = 500
const connections = 2_000
const settleMs = 500

/** Resident memory that 2,000 subscribed connections add to a server that has seen 500 others come and go. */
export const idleMemory: Bench = {
  name: 'idle-memory',
  unit: 'KiB',
  about: 'resident memory per idle subscribed connection, 2,000 of them, after a collection',
  warmups: 0,
  open: async () => ({
    limit: measureMemory(servers.limit),
    ours: measureMemory(servers.ours),
    close: async () => undefined,
  }),
}

/** Each run has a server of its own, so that no run inherits another one's heap. */
const measureMemory =
  ({ script, dialect }: (typeof servers)['limit']): Run =>
  async () => {
    const server = await startServer(script)
    const links: Link[] = []
    try {
      const target = { port: server.port, dialect }
      for (const link of await openLinks(target, warming)) link.close()
      await sleep(settleMs)
      const before = await server.memory()
      links.push(...(await openLinks(target, connections)))
      await sleep(settleMs)
      return ((await server.memory()) - before) / connections / 1_024
    } finally {
      for (const link of links) link.close()
      await server.close()
    }
  }

async function openLinks({ port, dialect }: Target, count: number): Promise<Link[]> {
  const links: Link[] = []
  for (let n = 0; n < count; n += 1) links.push(await openLink(port, dialect, 'reader'))
  return links
}
