/** `tidemark replay`: history once more, for one subscription. */
import type { LogName } from '@tidemark/shared'
import type { Broker } from '../broker/broker.ts'
import type { Log } from '../log/log.ts'
import { replay as publishAgain, type ReplayProgress } from '../operate/replay.ts'
import {
  BadInput,
  type Command,
  CommandFailed,
  readArgs,
  readNumber,
  type Terminal,
} from './command.ts'
import { openLog, readConfiguration, topicNamed } from './configuration.ts'

const help = `
tidemark replay --topic NAME (--scope NAME | --all-scopes) [--from N] [--to N] --why TEXT SUBSCRIPTION

Publishes the entries of a log again, for the readers of one subscription: a service that comes late
reads history from the bus. Each message has the id that its event always had, says \`replayed\`, and names
the subscription in \`onlyfor\`: the rule that \`tidemark provision\` writes keeps it from the other
subscriptions, and Tidemark's own consumers pass over what is not for them. A foreign reader of a
subscription without that rule gets it a second time, with the same id.

It comes behind what is in the subscription already. A service that needs strict order reads the feed of
the gateway first, GET /feed/TOPIC/SCOPE, and then goes on with the bus.

  --topic NAME     the topic
  --scope NAME     the scope
  --all-scopes     every scope of the topic, one after the other
  --from N         the first position (1)
  --to N           the last position (the head)
  --run N          resumes the run of this number: what it has sent is not sent twice within the
                   broker's duplicate window (a new run)
  --why TEXT       the reason, for the audit
  --by NAME        who you are, for the audit (the name of your account)
  --config PATH    the configuration (tidemark.config.ts)
`

const options = {
  topic: { type: 'string' },
  scope: { type: 'string' },
  'all-scopes': { type: 'boolean', default: false },
  from: { type: 'string', default: '1' },
  to: { type: 'string' },
  run: { type: 'string' },
  why: { type: 'string' },
  by: { type: 'string' },
  config: { type: 'string' },
} as const

/** What to publish again. */
interface Order {
  readonly log: Log
  readonly broker: Broker
  readonly subscription: string
  readonly from: number
  readonly to: number | undefined
  readonly run: number
  readonly by: string
  readonly why: string
}

/** `tidemark replay`. */
export const replay: Command = {
  summary: 'publish history again, for one subscription',
  help,
  async run(args, terminal) {
    const { values, positionals } = readArgs(args, options)
    const [subscription, ...others] = positionals
    if (subscription === undefined || others.length > 0) {
      throw new BadInput('replay takes one subscription, by its name.')
    }
    if ((values.scope === undefined) !== values['all-scopes']) {
      throw new BadInput('--scope names a scope, or --all-scopes takes them all.')
    }
    const { why } = values
    if (!why?.trim()) throw new BadInput('--why says the reason. It is written down.')
    const max = Number.MAX_SAFE_INTEGER
    const from = readNumber('from', values.from, 1, max)
    const to = values.to === undefined ? undefined : readNumber('to', values.to, from, max)
    const { system, user } = terminal
    const run =
      values.run === undefined
        ? Math.floor(system.now() / 1_000)
        : readNumber('run', values.run, 1, max)

    const configuration = await readConfiguration(values.config, terminal)
    const topic = topicNamed(configuration, values.topic)
    const { broker } = configuration.config
    if (!broker) throw new CommandFailed('The configuration has no `broker`.')
    const log = openLog(configuration, terminal)
    try {
      const { scope } = values
      const names =
        scope === undefined
          ? (await log.logs()).filter((name) => name.topic === topic.name)
          : [{ topic: topic.name, scope }]
      const by = values.by ?? user
      const order = { log, broker, subscription, from, to, run, by, why }
      for (const name of names) {
        const code = await replayLog(order, name, terminal)
        if (code !== 0) return code
      }
      return 0
    } finally {
      await broker.close()
      await log.close()
    }
  },
}

async function replayLog(order: Order, name: LogName, terminal: Terminal): Promise<number> {
  const { log, subscription, from, run, by, why } = order
  const { system, signal, out, err } = terminal
  const { position: head } = await log.head(name)
  const to = Math.min(order.to ?? head, head)
  const place = `${name.topic}/${name.scope}`
  if (to < from) {
    out(`${place} has nothing from ${from} to ${order.to ?? 'its head'}; its head is ${head}.\n`)
    return 0
  }
  const subject = `${place} ${from}-${to} to ${subscription}, run ${run}`
  await log.audit({ at: system.now(), by, action: 'replay', subject, note: why })
  out(`Replaying ${place}, ${from} to ${to}, for ${subscription}: run ${run}.\n`)
  let waited: string | undefined
  const onProgress = ({ waitingFor }: ReplayProgress): void => {
    if (waitingFor !== undefined && waitingFor !== waited) err(`Waiting: ${waitingFor}.\n`)
    waited = waitingFor
  }
  const { upTo, published, leftOut } = await publishAgain({
    ...order,
    name,
    to,
    system,
    signal,
    onProgress,
  })
  for (const { position, code } of leftOut) err(`Left out ${position}: ${code}.\n`)
  out(`Published ${published} of ${place}, up to ${upTo}.\n`)
  if (upTo >= to) return leftOut.length === 0 ? 0 : 1
  err(
    `It was broken off. Go on with: --scope ${name.scope} --from ${upTo + 1} --to ${to} --run ${run}\n`,
  )
  return 1
}
