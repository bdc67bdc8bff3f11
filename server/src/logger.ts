/** Where a gateway says what happens to it. The shape is pino's, so Fastify's `app.log` is one. */

/** One line of a structured log. Never a token, never an event's data. */
export type LogLine = (
  fields: { readonly event: string } & Record<string, unknown>,
  message: string,
) => void

/** A structured log. */
export interface Logger {
  readonly info: LogLine
  readonly warn: LogLine
  readonly error: LogLine
}

/** Says nothing. */
export const silentLogger: Logger = { info: () => {}, warn: () => {}, error: () => {} }
