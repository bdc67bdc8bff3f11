/** `tidemark doctor`: is what is there what was declared? */
import type { Address, OpenInspector } from '../broker/service-bus-inspect.ts'
import { examine, type Finding, type Severity } from '../operate/doctor.ts'
import {
  BadInput,
  type Command,
  CommandFailed,
  expectNothing,
  readArgs,
  type Terminal,
} from './command.ts'
import { planOf, readConfiguration } from './configuration.ts'

const help = `
tidemark doctor [--connection-string TEXT | --namespace NAME] [--manage] [--json]

Compares the namespace with the topics and consumers of the configuration, and says each difference in a
sentence. It changes nothing, sends nothing and takes no message. With Listen and Send rights it opens
links and closes them again: that shows missing entities, sessions, rules, the size limit and dead letters.
With --manage it asks the management API too, which needs Manage rights and shows duplicate detection,
subscriptions that nobody declared, and delivery counts. The emulators have no management API.
It takes about two seconds for each subscription. Ends with 1 where something is wrong.

  --connection-string TEXT   (SERVICEBUS_CONNECTION_STRING)
  --namespace NAME           NAME.servicebus.windows.net, with the credential that @azure/identity finds
                             (SERVICEBUS_NAMESPACE)
  --manage                   ask the management API
  --config PATH              the configuration (tidemark.config.ts)
  --json                     print JSON
`

const options = {
  'connection-string': { type: 'string' },
  namespace: { type: 'string' },
  manage: { type: 'boolean', default: false },
  config: { type: 'string' },
  json: { type: 'boolean', default: false },
} as const

/** `tidemark doctor`. */
export const doctor: Command = {
  summary: 'compare the live namespace with the configuration',
  help,
  async run(args, terminal) {
    const { values, positionals } = readArgs(args, options)
    expectNothing(positionals)
    const { env, out } = terminal
    const connectionString = values['connection-string'] ?? env['SERVICEBUS_CONNECTION_STRING']
    const namespace = values.namespace ?? env['SERVICEBUS_NAMESPACE']
    const configuration = await readConfiguration(values.config, terminal)
    const plan = planOf(configuration)
    const { broker, log } = configuration.config
    const { links, managed } = await openInspectors(connectionString, namespace, values.manage)
    try {
      const messageBytesMax = broker?.limits.messageBytesMax
      const inspectors = [links.inspector, ...(managed ? [managed] : [])]
      const findings: Finding[] = []
      for (const inspector of inspectors) {
        if (!values.json) out(`Looking ${inspector.means}.\n`)
        findings.push(...(await examine({ plan, inspector, messageBytesMax })))
      }
      return report(withoutRepeats(findings), values.json, terminal)
    } finally {
      await links.close()
      await broker?.close()
      await log?.close()
    }
  },
}

async function openInspectors(
  connectionString: string | undefined,
  namespace: string | undefined,
  manage: boolean,
): Promise<{
  readonly links: OpenInspector
  readonly managed: OpenInspector['inspector'] | undefined
}> {
  const address = await addressOf(connectionString, namespace)
  const { inspectByLinks, inspectByManagement } = await import('../broker/service-bus-inspect.ts')
  try {
    return {
      links: inspectByLinks(address),
      managed: manage ? inspectByManagement(address) : undefined,
    }
  } catch (cause) {
    // The connection string may hold a key: it is not repeated.
    throw new BadInput('The connection string is none. It begins with Endpoint=sb://', { cause })
  }
}

async function addressOf(
  connectionString: string | undefined,
  namespace: string | undefined,
): Promise<Address> {
  if (connectionString !== undefined) return { connectionString }
  if (namespace === undefined) {
    throw new BadInput('--connection-string or --namespace says which namespace to look at.')
  }
  try {
    const { DefaultAzureCredential } = await import('@azure/identity')
    const host = namespace.includes('.') ? namespace : `${namespace}.servicebus.windows.net`
    return { namespace: host, credential: new DefaultAzureCredential() }
  } catch (cause) {
    throw new CommandFailed('--namespace needs @azure/identity: npm install @azure/identity', {
      cause,
    })
  }
}

/** Two inspectors see much of the same. What one of them knows is not unknown. */
function withoutRepeats(findings: readonly Finding[]): readonly Finding[] {
  const known = new Set(
    findings.filter(({ severity }) => severity !== 'unknown').map(({ entity }) => entity),
  )
  const seen = new Set<string>()
  return findings.filter(({ severity, entity, sentence }) => {
    const key = `${entity}\n${sentence}`
    if (seen.has(key) || (severity === 'unknown' && known.has(entity))) return false
    seen.add(key)
    return true
  })
}

const marks: { readonly [S in Severity]: string } = {
  fine: 'fine   ',
  look: 'look   ',
  unknown: 'unknown',
  wrong: 'WRONG  ',
}

function report(findings: readonly Finding[], json: boolean, { out }: Terminal): number {
  const wrong = findings.filter(({ severity }) => severity === 'wrong').length
  if (json) out(`${JSON.stringify(findings, undefined, 2)}\n`)
  else {
    for (const { severity, entity, sentence } of findings) {
      out(`${marks[severity]}  ${entity}: ${sentence}\n`)
    }
    out(wrong === 0 ? 'Nothing is wrong.\n' : `${wrong} wrong.\n`)
  }
  return wrong === 0 ? 0 : 1
}
