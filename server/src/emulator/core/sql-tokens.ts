/** The words and signs of an SQL filter. */

/** A word or sign. */
export interface Token {
  readonly type: 'word' | 'quoted' | 'number' | 'string' | 'sign'
  readonly text: string
}

const pattern =
  /\s*(?:(?<number>\d+(?:\.\d+)?(?:[eE][+-]?\d+)?)|'(?<string>(?:[^']|'')*)'|(?:\[(?<bracketed>[^\]]+)\]|"(?<quoted>[^"]+)")|(?<word>[A-Za-z_@#][\w@#$.]*)|(?<sign><>|!=|<=|>=|[=<>+\-*/%(),.]))/y

/** Cuts a text into words and signs, or says where it cannot. */
export function tokenize(text: string): readonly Token[] | string {
  const tokens: Token[] = []
  pattern.lastIndex = 0
  const end = text.trimEnd().length
  while (pattern.lastIndex < end) {
    const at = pattern.lastIndex
    const groups = pattern.exec(text)?.groups
    if (!groups) return `The filter expression cannot be read at ${at}: ${text.slice(at, at + 20)}`
    const { number, string, bracketed, quoted, word, sign } = groups
    if (number !== undefined) tokens.push({ type: 'number', text: number })
    else if (string !== undefined) {
      tokens.push({ type: 'string', text: string.replaceAll("''", "'") })
    } else if (word !== undefined) tokens.push({ type: 'word', text: word })
    else if (sign !== undefined) tokens.push({ type: 'sign', text: sign })
    else tokens.push({ type: 'quoted', text: bracketed ?? quoted ?? '' })
  }
  return tokens
}
