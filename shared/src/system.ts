/**
 * The ambient world as one argument: clocks, timers, randomness. This is the only file that touches
 * `Date.now`, `setTimeout` and `Math.random`; everything else is handed a `System`, so a simulation
 * can run the same code under a virtual clock.
 */
import { assert } from './assert.ts'

/** Stops what it was returned for. Calling it twice does nothing. */
export type Cancel = () => void

/** Clocks, timers and randomness. */
export interface System {
  /** Wall clock, milliseconds since 1970 UTC. It may jump; never derive an order or a deadline from it. */
  now(): number
  /** Monotonic clock, milliseconds since some start. Deadlines and measurements use this one. */
  mono(): number
  /** Calls `run` once, after `ms` milliseconds. */
  after(ms: number, run: () => void): Cancel
  /** Resolves in a later macrotask, so that sockets and timers get their turn. */
  breathe(): Promise<void>
  /** A number in [0, 1). */
  random(): number
  /** A new UUID version 7, lower case. Those of one system sort in the order in which they were made. */
  uuid(): string
}

declare const setImmediate: ((run: () => void) => unknown) | undefined

/** Browsers clamp nested timeouts to 4 ms, so there a message port is the quicker macrotask. */
const breathe: () => Promise<void> =
  typeof setImmediate === 'function'
    ? () => new Promise((resolve) => void setImmediate(resolve))
    : () =>
        new Promise((resolve) => {
          const { port1, port2 } = new MessageChannel()
          port1.onmessage = () => {
            port1.close()
            resolve()
          }
          port2.postMessage(null)
        })

const hex = (bits: number): string => bits.toString(16).padStart(4, '0')

/** Of one millisecond; what is more takes the next. */
const countMax = 0xfff
let newestMs = 0
let count = 0

/** RFC 9562: 48 bits of time, a count of 12, so that ids of one millisecond are in order, and 62 random bits. */
function mintUuid(): string {
  const ms = Date.now()
  if (ms > newestMs) [newestMs, count] = [ms, 0]
  else if (count < countMax) count += 1
  else [newestMs, count] = [newestMs + 1, 0]
  const time = newestMs.toString(16).padStart(12, '0')
  const [first = 0, ...others] = crypto.getRandomValues(new Uint16Array(4))
  const tail = `${hex(0x8000 | (first & 0x3fff))}-${others.map(hex).join('')}`
  return `${time.slice(0, 8)}-${time.slice(8)}-${hex(0x7000 | count)}-${tail}`
}

/** The real world. */
export const system: System = {
  now: () => Date.now(),
  mono: () => performance.now(),
  after(ms, run) {
    const timer = setTimeout(run, ms)
    return () => clearTimeout(timer)
  },
  breathe,
  random: () => Math.random(),
  uuid: mintUuid,
}

/** Ids that follow from one: fewer than this. */
const derivedMax = 2 ** 24

/**
 * The id with the number `n`, below 2^24, that follows from a UUID of version 7: the same for the same two,
 * for ever. It is one of version 8 (RFC 9562), the same but for `n` in the place of 24 of its random bits, so
 * it sorts by time as the others do, and no hash has to be in the bundle.
 */
export function deriveUuid(id: string, n: number): string {
  assert(Number.isInteger(n) && n >= 0 && n < derivedMax, `${n} is no number below 2^24`)
  const digits = n.toString(16).padStart(6, '0')
  return `${id.slice(0, 14)}8${digits.slice(0, 3)}-${id[19]}${digits.slice(3)}${id.slice(23)}`
}

/** Resolves after `ms` milliseconds, or at once when `signal` aborts. */
export function sleep(system: System, ms: number, signal?: AbortSignal): Promise<void> {
  return new Promise((resolve) => {
    if (signal?.aborted) return resolve()
    const done = () => {
      cancel()
      signal?.removeEventListener('abort', done)
      resolve()
    }
    const cancel = system.after(ms, done)
    signal?.addEventListener('abort', done, { once: true })
  })
}
