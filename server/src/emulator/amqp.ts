/**
 * Just enough of the AMQP 1.0 type system to look into an encoded message without taking it apart: what
 * a sender wrote stays as it is, byte for byte, with every number in the width that was chosen for it.
 */

/** A value with its place after it. */
interface Read {
  readonly value: unknown
  readonly end: number
}

/** Widths of values by the high half of their type code: fixed ones as they are, others as a size in 1 or 4 bytes. */
const fixedWidths: { readonly [half: number]: number } = { 4: 0, 5: 1, 6: 2, 7: 4, 8: 8, 9: 16 }

/** The place after the value at `at`. Throws where the bytes end too early. */
export function skipValue(bytes: Buffer, at: number): number {
  const code = bytes.readUInt8(at)
  if (code === 0) return skipValue(bytes, skipValue(bytes, at + 1))
  const half = code >> 4
  const width = fixedWidths[half]
  if (width !== undefined) return at + 1 + width
  const isWide = half === 0xb || half === 0xd || half === 0xf
  return at + (isWide ? 5 + bytes.readUInt32BE(at + 1) : 2 + bytes.readUInt8(at + 1))
}

/** Reads the value at `at`: numbers beyond 2^53 as bigint, maps as objects, described values without their descriptor. */
export function readValue(bytes: Buffer, at: number): Read {
  const code = bytes.readUInt8(at)
  if (code === 0) return readValue(bytes, skipValue(bytes, at + 1))
  const end = skipValue(bytes, at)
  return { value: read(code, bytes, at + 1, end), end }
}

function read(code: number, bytes: Buffer, at: number, end: number): unknown {
  switch (code) {
    case 0x40:
      return undefined
    case 0x41:
      return true
    case 0x42:
      return false
    case 0x56:
      return bytes[at] === 1
    case 0x43:
    case 0x44:
      return 0
    case 0x45:
      return []
    case 0x50:
    case 0x52:
    case 0x53:
      return bytes.readUInt8(at)
    case 0x51:
    case 0x54:
    case 0x55:
      return bytes.readInt8(at)
    case 0x60:
      return bytes.readUInt16BE(at)
    case 0x61:
      return bytes.readInt16BE(at)
    case 0x70:
    case 0x73:
      return bytes.readUInt32BE(at)
    case 0x71:
      return bytes.readInt32BE(at)
    case 0x72:
      return bytes.readFloatBE(at)
    case 0x82:
      return bytes.readDoubleBE(at)
    case 0x80:
      return toNumber(bytes.readBigUInt64BE(at))
    case 0x81:
      return toNumber(bytes.readBigInt64BE(at))
    case 0x83:
      return new Date(Number(bytes.readBigInt64BE(at)))
    case 0x98:
      return toUuid(bytes.subarray(at, end))
    case 0xa1:
    case 0xa3:
      return bytes.toString('utf8', at + 1, end)
    case 0xb1:
    case 0xb3:
      return bytes.toString('utf8', at + 4, end)
    case 0xa0:
      return bytes.subarray(at + 1, end)
    case 0xb0:
      return bytes.subarray(at + 4, end)
    case 0xc0:
    case 0xd0:
      return readList(bytes, at - 1)
    case 0xc1:
    case 0xd1:
      return readMap(bytes, at - 1)
    case 0xe0:
    case 0xf0:
      return readArray(bytes, at - 1)
    default:
      // Decimals: nothing here compares them.
      return bytes.subarray(at, end)
  }
}

const toNumber = (value: bigint): number | bigint =>
  value >= -9007199254740991n && value <= 9007199254740991n ? Number(value) : value

/** Where the items of a list or map begin and end, and how many there are. */
export function openCompound(
  bytes: Buffer,
  at: number,
): { readonly start: number; readonly end: number; readonly count: number } {
  const code = bytes.readUInt8(at)
  if (code === 0x45) return { start: at + 1, end: at + 1, count: 0 }
  const isWide = code >> 4 === 0xd
  const end = skipValue(bytes, at)
  return isWide
    ? { start: at + 9, end, count: bytes.readUInt32BE(at + 5) }
    : { start: at + 3, end, count: bytes.readUInt8(at + 2) }
}

/** Reads the list at `at`. */
export function readList(bytes: Buffer, at: number): readonly unknown[] {
  const { start, count } = openCompound(bytes, at)
  const items: unknown[] = []
  let place = start
  for (let index = 0; index < count; index += 1) {
    const item = readValue(bytes, place)
    items.push(item.value)
    place = item.end
  }
  return items
}

/** Reads the map at `at`. */
export function readMap(bytes: Buffer, at: number): Readonly<Record<string, unknown>> {
  const { start, count } = openCompound(bytes, at)
  // Without a prototype, so that a property named __proto__ is one among others.
  const map: Record<string, unknown> = Object.create(null)
  let place = start
  for (let index = 0; index < count; index += 2) {
    const key = readValue(bytes, place)
    const value = readValue(bytes, key.end)
    map[String(key.value)] = value.value
    place = value.end
  }
  return map
}

/** Reads the array at `at`: its values share one type code, which stands before them once. */
export function readArray(bytes: Buffer, at: number): readonly unknown[] {
  const isWide = bytes[at] === 0xf0
  const count = isWide ? bytes.readUInt32BE(at + 5) : bytes.readUInt8(at + 2)
  const code = bytes.readUInt8(isWide ? at + 9 : at + 3)
  const items: unknown[] = []
  let place = isWide ? at + 10 : at + 4
  for (let index = 0; index < count; index += 1) {
    const width = fixedWidths[code >> 4]
    const end =
      width !== undefined
        ? place + width
        : place +
          ((code >> 4) % 2 === 0 ? 1 + bytes.readUInt8(place) : 4 + bytes.readUInt32BE(place))
    items.push(read(code, bytes, place, end))
    place = end
  }
  return items
}

const hexOf = (bytes: Buffer): string => bytes.toString('hex')

/** A UUID as text, in the order of its bytes. */
export const toUuid = (bytes: Buffer): string => {
  const hex = hexOf(bytes)
  return `${hex.slice(0, 8)}-${hex.slice(8, 12)}-${hex.slice(12, 16)}-${hex.slice(16, 20)}-${hex.slice(20)}`
}

/** The bytes of a UUID, in the order of its text. */
export const fromUuid = (uuid: string): Buffer => Buffer.from(uuid.replaceAll('-', ''), 'hex')

/** Turns the first three groups around: .NET writes a GUID as two little-endian halves and the rest as it is. */
export const turnGuid = (bytes: Buffer): Buffer => {
  const turned = Buffer.from(bytes)
  turned.subarray(0, 4).reverse()
  turned.subarray(4, 6).reverse()
  turned.subarray(6, 8).reverse()
  return turned
}

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
