/**
 * The side of a process that is killed: it loads everything, says that it is warm, and begins when it is
 * told to. So the next one is there at once when one has died.
 */
import { openSync, writeSync } from 'node:fs'
import { Fuse, type Plan } from './fuse.ts'

/** What a process is told when it shall begin. */
export interface Orders {
  /** Where all data of the run lies. */
  readonly folder: string
  readonly connectionString: string
  /** The origin of the hasty clock. */
  readonly originMs: number
  /** What is left out of the build: nothing, or deduplication. */
  readonly without: string | undefined
}

/** What the run says to a process. */
export type ToChild =
  | { readonly type: 'begin'; readonly orders: Orders }
  | { readonly type: 'arm'; readonly plan: Plan }
  | { readonly type: 'do'; readonly what: 'cut' | 'malform' }

/** What a process says to the run. */
export type FromChild =
  | { readonly type: 'warm' }
  | { readonly type: 'ready'; readonly address: string }

const say = (message: FromChild): void => void process.send?.(message)

/** The path of a file that all processes of a run know. */
export const fileIn = (folder: string, name: keyof typeof files): string =>
  `${folder}/${files[name]}`

const files = {
  log: 'log.db',
  books: 'books.db',
  markers: 'markers.txt',
  terms: 'terms.jsonl',
  witness: 'witness.jsonl',
  calls: 'calls.jsonl',
  appended: 'appended.jsonl',
  mended: 'mended',
}

/** A file that lines are added to; a line is written whole or not at all. */
export function createLines(path: string): (line: unknown) => void {
  const file = openSync(path, 'a')
  return (line) => void writeSync(file, `${JSON.stringify(line)}\n`)
}

/** Runs `begin` when the run says so; what it returns is this process's address. */
export function runChild(
  begin: (orders: Orders, fuse: Fuse) => Promise<string>,
  onDo: (what: 'cut' | 'malform') => Promise<void> = async () => {},
): void {
  let fuse: Fuse | undefined
  let plan: Plan = {}
  process.on('message', (message: ToChild) => {
    switch (message.type) {
      case 'begin':
        fuse = new Fuse(fileIn(message.orders.folder, 'markers'))
        fuse.arm(plan)
        return void begin(message.orders, fuse).then(
          (address) => say({ type: 'ready', address }),
          fail,
        )
      case 'arm':
        plan = message.plan
        return fuse?.arm(plan)
      case 'do':
        return void onDo(message.what).catch(fail)
    }
  })
  // Whoever started us is gone.
  process.on('disconnect', () => process.exit(0))
  say({ type: 'warm' })
}

function fail(error: unknown): void {
  process.stderr.write(`${error instanceof Error ? error.stack : String(error)}\n`)
  process.exit(1)
}
