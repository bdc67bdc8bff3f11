/** Opens both servers of a row, each in a process of its own, and makes the same load for both. */
import type { Run, Sides } from '../bench.ts'
import { gatewayDialect, pipelineDialect } from '../dialects.ts'
import { type ServerProcess, startServer } from '../process.ts'
import type { Dialect } from '../wire.ts'

/** A server under load. */
export interface Target {
  readonly port: number
  readonly dialect: Dialect
}

/** A load on one server: `run` is measured, `close` lets go of its links. */
export interface Load {
  readonly run: Run
  close(): void
}

/** How to start either side. */
export const servers = {
  limit: { script: 'limits/pipeline.ts', dialect: pipelineDialect },
  ours: { script: 'servers/gateway.ts', dialect: gatewayDialect },
}

/** Both servers under the load that `openLoad` makes. */
export async function openServers(openLoad: (target: Target) => Promise<Load>): Promise<Sides> {
  const limit = await openSide(servers.limit, openLoad)
  const ours = await openSide(servers.ours, openLoad).catch(async (error: unknown) => {
    await limit.close()
    throw error
  })
  return {
    limit: limit.run,
    ours: ours.run,
    async close() {
      await limit.close()
      await ours.close()
    },
  }
}

async function openSide(
  { script, dialect }: { script: string; dialect: Dialect },
  openLoad: (target: Target) => Promise<Load>,
): Promise<{ run: Run; close(): Promise<void> }> {
  const server: ServerProcess = await startServer(script)
  const load = await openLoad({ port: server.port, dialect }).catch(async (error: unknown) => {
    await server.close()
    throw error
  })
  return {
    run: load.run,
    async close() {
      load.close()
      await server.close()
    },
  }
}
