/** UUIDs as bytes, and as .NET writes them. */

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
