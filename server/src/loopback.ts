/** Which addresses are this machine's own. */

/** Is this an address that only this machine can reach? */
export const isLoopback = (address = ''): boolean =>
  address === 'localhost' ||
  address === '::1' ||
  address.startsWith('127.') ||
  address.startsWith('::ffff:127.')
