/** `tidemark schema export`: the topics for people who do not write TypeScript. */
import { createRequire } from 'node:module'
import { pathToFileURL } from 'node:url'
import {
  type Describe,
  type Describers,
  toAsyncApi,
  toJsonSchema,
  UndescribedSchema,
} from '../operate/schema.ts'
import { type Command, CommandFailed, expectNothing, readArgs, readWord } from './command.ts'
import { readConfiguration, topicNamed } from './configuration.ts'

const help = `
tidemark schema export [--format json-schema|asyncapi] [--topic NAME]...

Prints what the topics of the configuration define: JSON Schema (draft 2020-12) of the data of each event
type, or an AsyncAPI 3.0 document with the channels, the messages and their headers on Service Bus.
It describes the data as authors write it, which is what travels. zod 4.2 describes itself; for zod/mini
zod, and for Valibot @valibot/to-json-schema has to be installed beside the configuration.

  --format FORMAT   json-schema, or asyncapi (json-schema)
  --topic NAME      only this topic; may be given several times
  --title TEXT      the title of the AsyncAPI document
  --version TEXT    its version (1.0.0)
  --config PATH     the configuration (tidemark.config.ts)
`

const options = {
  format: { type: 'string', default: 'json-schema' },
  topic: { type: 'string', multiple: true, default: [] as string[] },
  title: { type: 'string' },
  version: { type: 'string' },
  config: { type: 'string' },
} as const

/** `tidemark schema`. */
export const schema: Command = {
  summary: 'export the topics as JSON Schema or AsyncAPI',
  help,
  async run(args, terminal) {
    const { values, positionals } = readArgs(args, options)
    const [verb, ...rest] = positionals
    readWord('The command', verb, ['export'])
    expectNothing(rest)
    const format = readWord('--format', values.format, ['json-schema', 'asyncapi'])
    const configuration = await readConfiguration(values.config, terminal)
    const { config, path } = configuration
    const named = values.topic.map((name) => topicNamed(configuration, name))
    const topics = named.length > 0 ? named : config.topics
    const vendors = new Set(
      topics.flatMap(({ schemas }) => Object.values(schemas)).map((one) => vendorOf(one)),
    )
    const describers = await loadDescribers(vendors, path)
    const { title, version } = values
    const about = {
      ...(title === undefined ? {} : { title }),
      ...(version === undefined ? {} : { version }),
    }
    try {
      const document =
        format === 'asyncapi'
          ? toAsyncApi(topics, about, describers)
          : toJsonSchema(topics, describers)
      terminal.out(`${JSON.stringify(document, undefined, 2)}\n`)
      return 0
    } catch (error) {
      if (error instanceof UndescribedSchema)
        throw new CommandFailed(error.message, { cause: error })
      throw error
    } finally {
      await config.broker?.close()
      await config.log?.close()
    }
  },
}

const vendorOf = (one: unknown): string =>
  (one as { readonly '~standard': { readonly vendor: string } })['~standard'].vendor

/** Where a vendor's schemas are described: a module beside the configuration, and a function of it. */
const homes: Readonly<
  Record<string, { readonly module: string; readonly name: string } | undefined>
> = {
  zod: { module: 'zod', name: 'toJSONSchema' },
  valibot: { module: '@valibot/to-json-schema', name: 'toJsonSchema' },
}

type Describer = (schema: unknown, options: object) => ReturnType<Describe>

/** Loads the user's own libraries, as their configuration would, so that the versions fit. */
async function loadDescribers(vendors: ReadonlySet<string>, path: string): Promise<Describers> {
  const { resolve } = createRequire(path)
  const found: Record<string, Describe> = {}
  for (const vendor of vendors) {
    const home = homes[vendor]
    if (!home) continue
    try {
      const url = pathToFileURL(resolve(home.module)).href
      const module = (await import(url)) as Readonly<Record<string, Describer | undefined>>
      const describe = module[home.name]
      if (describe) found[vendor] = (one) => describe(one, { io: 'input', target: 'draft-2020-12' })
    } catch {
      // It is not installed: a schema that needs it says so, by name.
    }
  }
  return found
}
