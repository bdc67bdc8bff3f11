/**
 * The part of Service Bus's SQL filters that people use: comparisons, AND, OR, NOT, IN, LIKE, IS NULL,
 * EXISTS and arithmetic over user and `sys.` properties, with SQL's third truth, unknown.
 */
import type { Envelope } from './message.ts'
import {
  add,
  and,
  arithmetic,
  type Comparison,
  comparisons,
  compareValues,
  type Expression,
  likePattern,
  not,
  or,
  systemProperty,
  userProperty,
} from './sql-operators.ts'
import { type Token, tokenize } from './sql-tokens.ts'

/** Is the expression true of this message? Unknown is not true. */
export const isTrue = (expression: Expression, envelope: Envelope): boolean =>
  expression(envelope) === true

/** The expression that a text describes, or what is wrong with it. */
export function parseSql(text: string): Expression | string {
  const tokens = tokenize(text)
  if (typeof tokens === 'string') return tokens
  try {
    return new Parser(tokens).parse()
  } catch (error) {
    if (error instanceof SyntaxError) return error.message
    throw error
  }
}

/** The most levels of nesting: an expression comes from outside. */
const depthMax = 64

class Parser {
  readonly #tokens: readonly Token[]
  #at = 0
  #depth = 0

  constructor(tokens: readonly Token[]) {
    this.#tokens = tokens
  }

  parse(): Expression {
    const expression = this.#or()
    if (this.#at < this.#tokens.length) throw this.#unexpected()
    return expression
  }

  #or(): Expression {
    let left = this.#and()
    while (this.#word('OR')) left = or(left, this.#and())
    return left
  }

  #and(): Expression {
    let left = this.#not()
    while (this.#word('AND')) left = and(left, this.#not())
    return left
  }

  #not(): Expression {
    this.#depth += 1
    if (this.#depth > depthMax) throw new SyntaxError('The filter expression is nested too deep.')
    const expression = this.#word('NOT') ? not(this.#not()) : this.#comparison()
    this.#depth -= 1
    return expression
  }

  #comparison(): Expression {
    if (this.#word('EXISTS')) {
      this.#expect('(')
      const property = this.#property()
      this.#expect(')')
      return (envelope) => property(envelope) !== undefined
    }
    const left = this.#sum()
    if (this.#word('IS')) {
      const isNegated = this.#word('NOT')
      if (!this.#word('NULL')) throw this.#unexpected()
      return (envelope) => (left(envelope) === undefined) !== isNegated
    }
    const isNegated = this.#word('NOT')
    if (this.#word('IN')) return this.#negate(this.#list(left), isNegated)
    if (this.#word('LIKE')) return this.#negate(this.#like(left), isNegated)
    if (isNegated) throw this.#unexpected()
    const token = this.#peek()
    const compare = token?.type === 'sign' ? comparisons[token.text] : undefined
    if (!compare) return left
    this.#at += 1
    const right = this.#sum()
    return (envelope) => compareValues(left(envelope), right(envelope), compare)
  }

  #negate(expression: Expression, isNegated: boolean): Expression {
    return isNegated ? not(expression) : expression
  }

  #list(left: Expression): Expression {
    this.#expect('(')
    const items = [this.#sum()]
    while (this.#sign(',')) items.push(this.#sum())
    this.#expect(')')
    const equal: Comparison = (order) => order === 0
    return (envelope) => {
      const value = left(envelope)
      const found = items.map((item) => compareValues(value, item(envelope), equal))
      return found.includes(true) ? true : found.includes(undefined) ? undefined : false
    }
  }

  #like(left: Expression): Expression {
    const token = this.#next()
    if (token?.type !== 'string') throw this.#unexpected()
    const escape = this.#word('ESCAPE') ? this.#next()?.text : undefined
    const regex = likePattern(token.text, escape)
    return (envelope) => {
      const value = left(envelope)
      return value === undefined ? undefined : typeof value === 'string' && regex.test(value)
    }
  }

  #sum(): Expression {
    let left = this.#product()
    for (;;) {
      if (this.#sign('+')) left = add(left, this.#product())
      else if (this.#sign('-')) left = arithmetic(left, this.#product(), (a, b) => a - b)
      else return left
    }
  }

  #product(): Expression {
    let left = this.#unary()
    for (;;) {
      if (this.#sign('*')) left = arithmetic(left, this.#unary(), (a, b) => a * b)
      else if (this.#sign('/')) left = arithmetic(left, this.#unary(), (a, b) => a / b)
      else if (this.#sign('%')) left = arithmetic(left, this.#unary(), (a, b) => a % b)
      else return left
    }
  }

  #unary(): Expression {
    if (this.#sign('-'))
      return arithmetic(
        () => 0,
        this.#unary(),
        (a, b) => a - b,
      )
    if (this.#sign('+')) return this.#unary()
    if (this.#sign('(')) {
      const inner = this.#or()
      this.#expect(')')
      return inner
    }
    const token = this.#peek()
    if (token?.type === 'number' || token?.type === 'string') {
      this.#at += 1
      const value = token.type === 'number' ? Number(token.text) : token.text
      return () => value
    }
    if (this.#word('TRUE')) return () => true
    if (this.#word('FALSE')) return () => false
    if (this.#word('NULL')) return () => undefined
    return this.#property()
  }

  /** `name`, `user.name`, `sys.Label`, `[odd name]`. */
  #property(): Expression {
    const token = this.#next()
    if (token?.type !== 'word' && token?.type !== 'quoted') throw this.#unexpected(-1)
    if (token.type === 'quoted') return userProperty(token.text)
    let name = token.text
    // A quoted name may follow its scope: `user.[odd name]`.
    if (/^(?:sys|user)\.?$/i.test(name) && this.#peek()?.type === 'quoted') {
      name = `${name.replace(/\.$/, '')}.${this.#next()?.text ?? ''}`
    }
    if (/^sys\./i.test(name)) return systemProperty(name.slice(4), () => this.#unexpected(-1))
    return userProperty(name.replace(/^user\./i, ''))
  }

  #peek(): Token | undefined {
    return this.#tokens[this.#at]
  }

  #next(): Token | undefined {
    this.#at += 1
    return this.#tokens[this.#at - 1]
  }

  #word(word: string): boolean {
    const token = this.#peek()
    if (token?.type !== 'word' || token.text.toUpperCase() !== word) return false
    this.#at += 1
    return true
  }

  #sign(sign: string): boolean {
    const token = this.#peek()
    if (token?.type !== 'sign' || token.text !== sign) return false
    this.#at += 1
    return true
  }

  #expect(sign: string): void {
    if (!this.#sign(sign)) throw this.#unexpected()
  }

  #unexpected(offset = 0): SyntaxError {
    const token = this.#tokens[this.#at + offset]
    return new SyntaxError(
      `Unexpected ${token ? `'${token.text}'` : 'end'} in the filter expression.`,
    )
  }
}
