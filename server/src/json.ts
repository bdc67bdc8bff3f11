/** Cuts a member out of JSON text without touching its bytes, where parsing and writing again would. */

/**
 * The text of the value of the last top-level member `name` in the text of a JSON object, which must be
 * valid. `undefined` if there is none. Like `JSON.parse`, the last of equal names wins.
 */
export function memberText(json: string, name: string): string | undefined {
  let found: string | undefined
  let at = json.indexOf('{') + 1
  while (at > 0 && at < json.length) {
    const keyAt = json.indexOf('"', at)
    if (keyAt < 0) break
    const keyEnd = skipString(json, keyAt)
    const valueAt = json.indexOf(':', keyEnd) + 1
    const valueEnd = skipValue(json, valueAt)
    if (isName(json.slice(keyAt, keyEnd), name)) found = json.slice(valueAt, valueEnd).trim()
    at = valueEnd + 1
  }
  return found
}

/** A key may be written with escapes. */
const isName = (quoted: string, name: string): boolean =>
  quoted.includes('\\') ? JSON.parse(quoted) === name : quoted.slice(1, -1) === name

/** The place after the string that starts at `at`. */
function skipString(json: string, at: number): number {
  let end = json.indexOf('"', at + 1)
  for (;;) {
    let slashes = 0
    while (json.charCodeAt(end - 1 - slashes) === 92) slashes += 1
    if (slashes % 2 === 0) return end + 1
    end = json.indexOf('"', end + 1)
  }
}

/** The place of the comma or bracket that ends the value which starts at `at`. */
function skipValue(json: string, at: number): number {
  let depth = 0
  for (let place = at; place < json.length; place += 1) {
    switch (json[place]) {
      case '"':
        place = skipString(json, place) - 1
        break
      case '{':
      case '[':
        depth += 1
        break
      case '}':
      case ']':
        if (depth === 0) return place
        depth -= 1
        break
      case ',':
        if (depth === 0) return place
    }
  }
  return json.length
}
