/**
 * Just enough of the AMQP 1.0 type system to look into an encoded message without taking it apart: what
 * a sender wrote stays as it is, byte for byte, with every number in the width that was chosen for it.
 */

import { toUuid } from './guid.ts'

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
