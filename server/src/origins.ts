/** Which pages a browser may connect from. */

/** Origins, `https://shop.example`, or what says of one whether it may connect. */
export type Origins = readonly string[] | ((origin: string) => boolean)

/**
 * Is a request of this origin expected, made to `host`? Browsers name the page's origin wherever it matters,
 * other programs name none. Without `origins` a page is expected from where it is served.
 */
export function isExpectedOrigin(
  origin: string | undefined,
  host: string | undefined,
  origins: Origins | undefined,
): boolean {
  if (origin === undefined) return true
  if (typeof origins === 'function') return origins(origin)
  if (origins) return origins.includes(origin)
  return URL.canParse(origin) && new URL(origin).host === host
}
