/** `tidemark schema export`: the topics for people who do not write TypeScript. */
import { toAsyncApi, toJsonSchema, UndescribedSchema } from '../operate/schema.ts'
import { type Command, CommandFailed, expectNothing, readArgs, readWord } from './command.ts'
import { readConfiguration, topicNamed } from './configuration.ts'
import { loadDescribersOf } from './describers.ts'

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
    const describers = await loadDescribersOf(path)(topics)
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
