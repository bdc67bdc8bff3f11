/**
 * Seeded randomness. A stream is forked by name, not by drawing from its parent, so that taking one
 * fault away leaves the draws of every other part as they were.
 */

/** The 32 bits that name a stream: FNV-1a over its label. */
function hashLabel(label: string, from: number): number {
  let hash = from ^ 0x811c9dc5
  for (let index = 0; index < label.length; index++) {
    hash = Math.imul(hash ^ label.charCodeAt(index), 0x01000193)
  }
  return hash >>> 0
}

/** Spreads a small seed over 32 bits (the finalizer of MurmurHash3). */
function mix(value: number): number {
  let mixed = value ^ (value >>> 16)
  mixed = Math.imul(mixed, 0x85ebca6b)
  mixed = Math.imul(mixed ^ (mixed >>> 13), 0xc2b2ae35)
  return (mixed ^ (mixed >>> 16)) >>> 0
}

/** A stream of random draws (sfc32). The same seed and label give the same draws everywhere. */
export class Random {
  readonly #seed: number
  #a: number
  #b: number
  #c: number
  #counter = 1

  constructor(seed: number, label = '') {
    this.#seed = hashLabel(label, mix(seed))
    this.#a = mix(this.#seed)
    this.#b = mix(this.#seed + 0x9e3779b9)
    this.#c = mix(this.#seed + 0x3c6ef372)
    for (let warmUp = 0; warmUp < 12; warmUp++) this.#next()
  }

  #next(): number {
    const sum = (this.#a + this.#b + this.#counter) | 0
    this.#counter = (this.#counter + 1) | 0
    this.#a = this.#b ^ (this.#b >>> 9)
    this.#b = (this.#c + (this.#c << 3)) | 0
    this.#c = ((this.#c << 21) | (this.#c >>> 11)) + sum
    return sum >>> 0
  }

  /** An independent stream. */
  fork(label: string): Random {
    return new Random(this.#seed, label)
  }

  /** A number in [0, 1). */
  float(): number {
    return this.#next() / 4_294_967_296
  }

  /** A whole number from 0 up to, but not, `end`. */
  below(end: number): number {
    return Math.floor(this.float() * end)
  }

  /** A number in [min, max). */
  between(min: number, max: number): number {
    return min + this.float() * (max - min)
  }

  /** A number of 0 or more whose mean is `mean`: most draws are small, a few are long. */
  exponential(mean: number): number {
    return -Math.log(1 - this.float()) * mean
  }

  /** True in the given share of draws. */
  chance(share: number): boolean {
    return this.float() < share
  }

  /** One of `items`, which must not be empty. */
  pick<T>(items: readonly T[]): T {
    return items[this.below(items.length)] as T
  }

  /** A UUID version 7 whose time is `nowMs`. */
  uuid(nowMs: number): string {
    const time = Math.max(0, Math.floor(nowMs)).toString(16).padStart(12, '0').slice(-12)
    const hex = (digits: number) => this.#next().toString(16).padStart(8, '0').slice(0, digits)
    const variant = '89ab'[this.below(4)] ?? '8'
    return `${time.slice(0, 8)}-${time.slice(8)}-7${hex(3)}-${variant}${hex(3)}-${hex(8)}${hex(4)}`
  }
}
