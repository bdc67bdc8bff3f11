/** `tidemark dead-letters`: what waits for a person, and what they do about it. */
import {
  type DeadLetter,
  type DeadLetterDetails,
  type DeadLetters,
} from '../operate/dead-letters.ts'
import { createView } from '../operate/view.ts'
import {
  BadInput,
  type Command,
  expectNothing,
  readArgs,
  readNumber,
  readWord,
  type Terminal,
} from './command.ts'
import { openLog, readConfiguration } from './configuration.ts'

const help = `
tidemark dead-letters list    [--source NAME] [--max N] [--json]
tidemark dead-letters show    REF [--json]
tidemark dead-letters redrive REF... --why TEXT [--by NAME]
tidemark dead-letters redrive --all --source NAME --why TEXT [--by NAME]
tidemark dead-letters discard REF... --why TEXT [--by NAME]
tidemark dead-letters audit   [--max N] [--json]

What waits for a person, wherever it lies: streams that the relay has parked (source relay), what the
declared consumers have set aside in their databases (consumer/NAME), and the dead letters of the
broker (broker/TOPIC/SUBSCRIPTION). A REF is what the list shows.

redrive lets it pass again. A parked stream is published from where it stopped, in its order, by the
gateway that relays it, within a second or as soon as one runs. A consumer tries its stream again from
the first event. A dead letter of the broker is sent again to its topic, marked as being for its
subscription alone, and then removed.
discard gives an event up for good; the rest of its stream goes on.
Doing either twice does it once. Who, when and why is written down; audit shows it.

  --source NAME   only this source: relay, consumer, consumer/NAME, broker, broker/TOPIC, ...
  --max N         at most N of each source (100)
  --why TEXT      the reason, for the audit
  --by NAME       who you are, for the audit (the name of your account)
  --all           redrive everything that list shows of --source
  --config PATH   the configuration (tidemark.config.ts)
  --json          print JSON
`

const options = {
  source: { type: 'string' },
  max: { type: 'string', default: '100' },
  why: { type: 'string' },
  by: { type: 'string' },
  all: { type: 'boolean', default: false },
  config: { type: 'string' },
  json: { type: 'boolean', default: false },
} as const

type Values = ReturnType<typeof readArgs<typeof options>>['values']

const verbs = ['list', 'show', 'redrive', 'discard', 'audit'] as const

/** `tidemark dead-letters`. */
export const deadLetters: Command = {
  summary: 'list, show, redrive and discard what waits for a person',
  help,
  async run(args, terminal) {
    const { values, positionals } = readArgs(args, options)
    const [verb, ...refs] = positionals
    const wanted = readWord('The command', verb, verbs)
    const max = readNumber('max', values.max, 1, 10_000)
    checkRefs(wanted, refs, values)
    const configuration = await readConfiguration(values.config, terminal)
    const { config } = configuration
    const { system } = terminal
    const log = openLog(configuration, terminal)
    try {
      if (wanted === 'audit') {
        sayAudit(await log.audits(max), values.json, terminal)
        return 0
      }
      const gatewaySubscription = config.ingest?.subscription
      const view = createView({ ...config, log, system, gatewaySubscription })
      if (wanted === 'list') return await list(view, max, values, terminal)
      if (wanted === 'show') return await show(view, refs[0] ?? '', values.json, terminal)
      return await act(wanted, view, refs, { ...values, max }, terminal)
    } finally {
      await config.broker?.close()
      await log.close()
    }
  },
}

/** Everything that can be wrong about what was typed is found before anything is opened. */
function checkRefs(
  verb: (typeof verbs)[number],
  refs: readonly string[],
  { all, source, why }: Values,
): void {
  if (verb === 'list' || verb === 'audit') return expectNothing(refs)
  if (verb === 'show') {
    if (refs.length !== 1) throw new BadInput('show takes one REF, as the list shows it.')
    return
  }
  if (all && (verb === 'discard' || source === undefined)) {
    throw new BadInput('--all goes with redrive and with --source.')
  }
  if (all === refs.length > 0) throw new BadInput(`${verb} takes REFs, as the list shows them.`)
  if (why === undefined || why.trim() === '') {
    throw new BadInput('--why says the reason. It is written down.')
  }
}

async function list(
  view: DeadLetters,
  max: number,
  { source, json }: Values,
  { out, err, system }: Terminal,
): Promise<number> {
  const found = await view.list(max, source)
  if (json) out(`${JSON.stringify(found, undefined, 2)}\n`)
  else if (found.items.length > 0)
    out(`${found.items.map((one) => toText(one, system.now())).join('\n')}\n`)
  else out('Nothing waits.\n')
  for (const name of found.more) err(`${name} has more than ${max}: see --max.\n`)
  for (const { source: name, reason } of found.unread) err(`${name} could not be read: ${reason}\n`)
  return found.unread.length === 0 ? 0 : 1
}

async function show(
  view: DeadLetters,
  ref: string,
  json: boolean,
  { out, err, system }: Terminal,
): Promise<number> {
  const found = await view.show(ref)
  if (!found) {
    err(`There is no dead letter ${ref}.\n`)
    return 1
  }
  out(json ? `${JSON.stringify(found, undefined, 2)}\n` : toLongText(found, system.now()))
  return 0
}

async function act(
  verb: 'redrive' | 'discard',
  view: DeadLetters,
  named: readonly string[],
  { why = '', by, all, source, max }: Omit<Values, 'max'> & { readonly max: number },
  { out, err, user }: Terminal,
): Promise<number> {
  const refs = all ? (await view.list(max, source)).items.map(({ ref }) => ref) : named
  let failed = 0
  for (const ref of refs) {
    const result = await view[verb](ref, { by: by ?? user, note: why })
    if (result === 'done' || result === 'asked') out(`${outcomes[result][verb]} ${ref}\n`)
    else {
      err(`${outcomes[result]} ${ref}\n`)
      failed += 1
    }
  }
  return failed === 0 ? 0 : 1
}

const outcomes = {
  done: { redrive: 'Redriven:', discard: 'Discarded:' },
  asked: { redrive: 'To be redriven by the gateway:', discard: 'To be discarded by the gateway:' },
  gone: 'There is nothing left to do for',
  impossible: 'This cannot be discarded:',
} as const

function sayAudit(
  records: Awaited<ReturnType<ReturnType<typeof openLog>['audits']>>,
  json: boolean,
  { out }: Terminal,
): void {
  if (json) return out(`${JSON.stringify(records, undefined, 2)}\n`)
  for (const { at, by, action, subject, note } of records) {
    out(`${new Date(at).toISOString()}  ${by}  ${action}  ${subject}\n    ${note}\n`)
  }
}

function toText(letter: DeadLetter, now: number): string {
  const { ref, code, reason, attempts, events, since, asked } = letter
  const facts = [
    code,
    attempts === undefined ? '' : `${attempts} attempts`,
    events === undefined ? '' : `${events} events wait`,
    since === undefined ? '' : `since ${toAge(now - since)}`,
    asked === undefined ? '' : `${asked} was asked for`,
  ].filter((fact) => fact !== '')
  return `${ref}\n    ${facts.join(', ')}\n    ${plain(reason)}`
}

function toLongText(letter: DeadLetterDetails, now: number): string {
  const attributes = Object.entries(letter.attributes ?? {}).map(
    ([name, value]) => `    ${name}: ${plain(String(value))}`,
  )
  return [toText(letter, now), ...attributes, ...letter.lines.map(plain), ''].join('\n')
}

/** What others wrote goes to a terminal without its control characters: they could write anywhere on the screen. */
const plain = (text: string): string => text.replaceAll(/[^\P{Cc}\n\t]/gu, '·')

function toAge(ms: number): string {
  const minutes = Math.max(0, Math.floor(ms / 60_000))
  if (minutes < 120) return `${minutes} minutes`
  return minutes < 2_880
    ? `${Math.floor(minutes / 60)} hours`
    : `${Math.floor(minutes / 1_440)} days`
}
