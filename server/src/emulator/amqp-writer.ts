/** Writes values in the AMQP 1.0 type system. */
import { fromUuid } from './guid.ts'

/** Writes AMQP values one after the other. */
export class AmqpWriter {
  #bytes = Buffer.allocUnsafe(256)
  #end = 0

  /** What was written. */
  finish(): Buffer {
    return this.#bytes.subarray(0, this.#end)
  }

  raw(bytes: Buffer): this {
    const at = this.#grow(bytes.length)
    bytes.copy(this.#bytes, at)
    return this
  }

  byte(value: number): this {
    this.#bytes[this.#grow(1)] = value
    return this
  }

  null(): this {
    return this.byte(0x40)
  }

  uint(value: number): this {
    const at = this.#grow(5)
    this.#bytes[at] = 0x70
    this.#bytes.writeUInt32BE(value, at + 1)
    return this
  }

  int(value: number): this {
    const at = this.#grow(5)
    this.#bytes[at] = 0x71
    this.#bytes.writeInt32BE(value, at + 1)
    return this
  }

  long(value: number): this {
    return this.#eight(0x81, value)
  }

  /** A point in time, in ms since 1970. */
  timestamp(ms: number): this {
    return this.#eight(0x83, ms)
  }

  double(value: number): this {
    const at = this.#grow(9)
    this.#bytes[at] = 0x82
    this.#bytes.writeDoubleBE(value, at + 1)
    return this
  }

  text(value: string): this {
    return this.#variable(0xa1, Buffer.from(value))
  }

  symbol(value: string): this {
    return this.#variable(0xa3, Buffer.from(value, 'ascii'))
  }

  binary(value: Buffer): this {
    return this.#variable(0xa0, value)
  }

  /** A plain value in the type that fits it best. */
  value(value: unknown): this {
    switch (typeof value) {
      case 'string':
        return this.text(value)
      case 'boolean':
        return this.byte(value ? 0x41 : 0x42)
      case 'number':
        if (!Number.isSafeInteger(value)) return this.double(value)
        return Math.abs(value) < 2 ** 31 ? this.int(value) : this.long(value)
      default:
        if (value instanceof Date) return this.timestamp(value.getTime())
        return Buffer.isBuffer(value) ? this.binary(value) : this.null()
    }
  }

  /** A list (0xd0) or map (0xd1) of `count` values that are already encoded. */
  compound(code: 0xd0 | 0xd1, count: number, items: Buffer): this {
    const at = this.#grow(9)
    this.#bytes[at] = code
    this.#bytes.writeUInt32BE(items.length + 4, at + 1)
    this.#bytes.writeUInt32BE(count, at + 5)
    return this.raw(items)
  }

  /** An array of values of one fixed width, each written by `write` with its type code, which is cut off. */
  array(code: number, count: number, write: (items: AmqpWriter, index: number) => void): this {
    const items = new AmqpWriter()
    for (let index = 0; index < count; index += 1) {
      const item = new AmqpWriter()
      write(item, index)
      items.raw(item.finish().subarray(1))
    }
    const encoded = items.finish()
    const at = this.#grow(10)
    this.#bytes[at] = 0xf0
    this.#bytes.writeUInt32BE(encoded.length + 5, at + 1)
    this.#bytes.writeUInt32BE(count, at + 5)
    this.#bytes[at + 9] = code
    return this.raw(encoded)
  }

  /** A map with text keys; each value is written by its function. */
  map(entries: Readonly<Record<string, (writer: AmqpWriter) => void>>): this {
    const items = new AmqpWriter()
    for (const [key, write] of Object.entries(entries)) write(items.text(key))
    return this.compound(0xd1, Object.keys(entries).length * 2, items.finish())
  }

  /** A list; each value is written by its function. */
  list(items: readonly ((writer: AmqpWriter) => void)[]): this {
    const encoded = new AmqpWriter()
    for (const write of items) write(encoded)
    return this.compound(0xd0, items.length, encoded.finish())
  }

  /** A UUID, in the order of its text. */
  uuid(uuid: string): this {
    return this.byte(0x98).raw(fromUuid(uuid))
  }

  /** The descriptor of a section of a message. */
  section(code: number): this {
    return this.byte(0x00).byte(0x53).byte(code)
  }

  #eight(code: number, value: number): this {
    const at = this.#grow(9)
    this.#bytes[at] = code
    // Two halves: writing a BigInt is several times slower.
    this.#bytes.writeInt32BE(Math.floor(value / 4_294_967_296), at + 1)
    this.#bytes.writeUInt32BE(value - Math.floor(value / 4_294_967_296) * 4_294_967_296, at + 5)
    return this
  }

  /** `code` is that of the type with a size in one byte; the one with four is 16 higher. */
  #variable(code: number, bytes: Buffer): this {
    if (bytes.length < 256) this.byte(code).byte(bytes.length)
    else {
      const at = this.#grow(5)
      this.#bytes[at] = code + 0x10
      this.#bytes.writeUInt32BE(bytes.length, at + 1)
    }
    return this.raw(bytes)
  }

  /** Makes room for `count` bytes; answers with where they begin. */
  #grow(count: number): number {
    const at = this.#end
    this.#end += count
    if (this.#end > this.#bytes.length) {
      const larger = Buffer.allocUnsafe(Math.max(this.#end, this.#bytes.length * 2))
      this.#bytes.copy(larger, 0, 0, at)
      this.#bytes = larger
    }
    return at
  }
}
