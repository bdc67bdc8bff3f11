/**
 * The development loop: serves what the events file exports, and reads it again whenever it has been saved. A
 * save that cannot be read changes nothing. One that changes a schema under which events were accepted is
 * served too, and shown field by field; whether the log is emptied for it is the developer's to say.
 */
import { mkdirSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { isTidemarkError, type Topic } from '@tidemark/shared'
import type { Describers } from '../operate/schema.ts'
import { type Definitions, toDefinitions } from './definitions.ts'
import { createLoader, type Loader } from './load.ts'
import { isBreaking, openPublished, type Published } from './published.ts'
import { sayEdit, sayPublished, sayStart } from './say.ts'
import { type DevGateway, type DevGatewayOptions, startDevGateway } from './serve.ts'
import { createWatch } from './watch.ts'

/** What the loop is started with. */
export interface DevOptions extends DevGatewayOptions {
  /** The events file, by its absolute path. */
  readonly file: string
  /** Asks whether the log shall be emptied; false where `signal` aborts first. Absent: nobody can be asked. */
  readonly ask?: ((signal: AbortSignal) => Promise<boolean>) | undefined
  /** Empties the log wherever it would be asked for. */
  readonly reset: boolean
  /** What to type to have it emptied, where nobody can be asked. */
  readonly resetCommand: string
  /** What `toJsonSchema` asks for. */
  readonly describers: (topics: readonly Topic[]) => Promise<Describers>
}

/** The loop while it runs. */
interface Loop {
  readonly options: DevOptions
  readonly loader: Loader
  readonly gateway: DevGateway
  readonly published: Published
  definitions: Definitions
  /** What was last said of the published schemas, so that it is not said again at each save. */
  said: string
}

/**
 * Runs the loop until `signal` aborts. Throws `EVENTS_INVALID` where the file cannot be read at the start, and
 * what a gateway that does not start throws.
 */
export async function runDev(options: DevOptions, signal: AbortSignal): Promise<void> {
  const { file, folder, describers } = options
  const loader = createLoader(file)
  try {
    const definitions = toDefinitions(await loader.load(), file)
    prepareFolder(folder)
    const gateway = await startDevGateway(options, definitions.topics)
    const published = openPublished(join(folder, 'schemas.json'), describers)
    try {
      options.say(sayStart(options, gateway, definitions))
      await keepServing({ options, loader, gateway, published, definitions, said: '' }, signal)
    } finally {
      await gateway.close()
    }
  } finally {
    loader.close()
  }
}

async function keepServing(loop: Loop, signal: AbortSignal): Promise<void> {
  const { loader, gateway, options } = loop
  const watch = createWatch(options.system)
  try {
    while (!signal.aborted) {
      const offer = await judge(loop)
      await watch.changed(loader.texts, AbortSignal.any([signal, offer.taken]))
      offer.withdraw()
      if (signal.aborted) return
      if (!offer.taken.aborted) await reload(loop)
      else {
        await gateway.reset()
        options.say('The log is empty now. Devices start from its beginning.')
      }
    }
  } finally {
    watch.close()
  }
}

/** Serves the file as it is now, where it can be read. */
async function reload(loop: Loop): Promise<void> {
  const { options, loader, gateway, definitions } = loop
  const { file, say } = options
  try {
    loop.definitions = toDefinitions(await loader.load(), file)
  } catch (error) {
    if (!isTidemarkError(error, 'EVENTS_INVALID')) throw error
    return say(`${error.code} ${error.details.reason}\nWhat was served before is served on.`)
  }
  await gateway.serve(loop.definitions.topics)
  say(sayEdit(file, definitions, loop.definitions))
}

/** An offer to empty the log. */
interface Offer {
  /** Aborts when it is taken. */
  readonly taken: AbortSignal
  withdraw(): void
}

/** Compares what is served with what the log's events were accepted under, and offers to empty it where they may not fit. */
async function judge(loop: Loop): Promise<Offer> {
  const { ask, reset, resetCommand, say } = loop.options
  const topics = [...loop.definitions.topics.values()]
  const changes = await loop.published.compare(topics, loop.gateway.log)
  const said = sayPublished(changes)
  if (said !== '' && said !== loop.said) say(said)
  loop.said = said
  const [taken, withdrawn] = [new AbortController(), new AbortController()]
  if (changes.some(isBreaking)) {
    if (reset) taken.abort()
    else if (!ask) say(`To empty the development log, run it again as:  ${resetCommand}`)
    else void ask(withdrawn.signal).then((yes) => yes && taken.abort())
  }
  return { taken: taken.signal, withdraw: () => withdrawn.abort() }
}

function prepareFolder(folder: string): void {
  mkdirSync(folder, { recursive: true })
  // Nothing in it belongs into a repository.
  writeFileSync(join(folder, '.gitignore'), '*\n')
}
