/** Which addresses are this machine's own. */
import { isIPv4 } from 'node:net'

/** Is this an address that only this machine can reach, or its name? */
export const isLoopback = (address = ''): boolean =>
  address === 'localhost' || address === '::1' || isLoopbackIPv4(address.replace(/^::ffff:/, ''))

/**
 * Does a request come from this machine, and by a name that nobody else can register? A page of the Internet
 * can lead its own name to this machine, and is then of the same origin as what is asked.
 */
export const isLocalRequest = (address: string | undefined, host: string | undefined): boolean =>
  isLoopback(address) && isLoopback(hostnameOf(`http://${host}`))

/** The host of an address, an IPv6 one without its brackets. Nothing where it is no address. */
export const hostnameOf = (address: string): string | undefined =>
  URL.parse(address)?.hostname.replace(/^\[(.*)\]$/, '$1')

/** `127.shop.example` is a name that anybody may have. */
const isLoopbackIPv4 = (address: string): boolean => isIPv4(address) && address.startsWith('127.')
