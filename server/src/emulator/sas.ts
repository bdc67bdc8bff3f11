/** Shared access signatures: who holds the key may come in, until the signature's time is over. */
import { createHmac, timingSafeEqual } from 'node:crypto'

/** Says what is wrong with a token, or nothing. `now` in ms since 1970. */
export function findSasFault(token: string, key: string, now: number): string | undefined {
  const scheme = 'SharedAccessSignature '
  if (!token.startsWith(scheme)) return 'The token is not a shared access signature.'
  const fields = new Map(
    token
      .slice(scheme.length)
      .split('&')
      .map((field) => {
        const equals = field.indexOf('=')
        return [field.slice(0, equals), field.slice(equals + 1)] as const
      }),
  )
  const resource = fields.get('sr') ?? ''
  const expiry = fields.get('se') ?? ''
  if (!(Number(expiry) * 1_000 > now)) return 'ExpiredToken: the token has expired.'
  const wanted = createHmac('sha256', key).update(`${resource}\n${expiry}`).digest()
  const given = Buffer.from(decodeURIComponent(fields.get('sig') ?? ''), 'base64')
  const isValid = given.length === wanted.length && timingSafeEqual(given, wanted)
  return isValid ? undefined : 'InvalidSignature: The token has an invalid signature.'
}
