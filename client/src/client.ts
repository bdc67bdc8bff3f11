/** The client: composes store, hops and live state. What it does is in the files that it wires together. */
import {
  type AnyModel,
  type Broadcast,
  type Connect,
  type CommandsOf,
  defaultLimits,
  type Denial,
  type EntryOf,
  type EventId,
  type Limits,
  type Locks,
  system as realSystem,
  type System,
  type Topic,
} from '@tidemark/shared'
// Dexie first: bundlers keep the order of imports, and our own modules compress better next to each other.
import { dexieStore } from './store/dexie.ts'
import { type Append, openAppend, openWriter } from './append.ts'
import { type DenialsOf, openExecute } from './execute.ts'
import type { Hints } from './hints.ts'
import { setInside } from './inside.ts'
import { lend } from './lease.ts'
import type { Live } from './live.ts'
import { findVerdict, type Knowledge, readEntries } from './lookup.ts'
import { ModelView } from './model-view.ts'
import type { ModelHandles } from './models.ts'
import { Replica } from './replica.ts'
import { createStatus, type Status } from './status.ts'
import type { Refused, Store } from './store/store.ts'
import { inertSync, openSync } from './sync.ts'
import { takeOver } from './take-over.ts'
import type { TokenAnswer } from './token.ts'
import { connectWebSocket } from './websocket.ts'
import { openWitness, type Watch, type Witness } from './witness.ts'
import {
  askToPersist,
  hasIndexedDb,
  noWitness,
  soloBroadcast,
  soloLocks,
  webBroadcast,
  webHints,
  webLocks,
  webWitness,
} from './world.ts'

/** The models of an app by the names that `client.model` gives them. */
export type Models = Readonly<Record<string, AnyModel>>

/** What `createClient` is told. Everything from `store` on has a default that fits a browser. */
export interface ClientOptions<M extends Models> {
  /** The gateway: `wss://…`. */
  readonly url: string
  /** Whose device this is: keys the local database, and is who the gateway's `authenticate` must say it is. */
  readonly user: string
  /** Whose events these are: a tenant, a shop, a workspace. Keys the local database too. */
  readonly scope?: string
  /**
   * What the gateway authenticates, asked for at each connection. One that says how long it lasts is renewed on
   * the open link before it ends. Without it any answer of the gateway is taken.
   */
  readonly token?: () => TokenAnswer | Promise<TokenAnswer>
  /** States to fold. Their topics are subscribed to. */
  readonly models?: M
  /** How many keys of each model are kept in memory; 20,000 unless said otherwise. The others are read when asked for. */
  readonly keysInMemoryMax?: number
  /** More topics to subscribe and append to. */
  readonly topics?: readonly Topic[]
  /** Topics to append to without reading them. */
  readonly writeOnly?: readonly Topic[]
  /** The first part of the database's name; `tidemark` unless said otherwise. */
  readonly name?: string
  readonly store?: Store
  readonly connect?: Connect
  readonly locks?: Locks
  readonly broadcast?: Broadcast
  readonly hints?: Hints
  /** Where what waits is remembered outside of the database: `localStorage`, beside IndexedDB. */
  readonly witness?: Witness
  /** Asks for the database to be kept: `navigator.storage.persist`, for IndexedDB. */
  readonly askToPersist?: () => Promise<boolean | undefined>
  readonly system?: System
  /** Told of what should not happen and stops nothing: a listener or a fold that throws, a disk that fails. */
  readonly onError?: (error: unknown) => void
}

const defaultKeysInMemoryMax = 20_000

/** The denials of all commands of an app's models. */
export type DenialsOfModels<M extends Models> = {
  [Name in keyof M]: DenialsOf<CommandsOf<M[Name]>>
}[keyof M]

/** The refused events of this device. They stay until the app has dealt with them, over reloads too. */
export interface RefusedList<Denied extends Denial = never> extends Live<
  readonly Refused<Denied>[]
> {
  /** Leaves it at that. What else can be done about one is in `@tidemark/client/refused`. */
  discard(...ids: readonly EventId[]): Promise<void>
}

/** An app's end of Tidemark. */
export interface Client<M extends Models = Models> {
  readonly append: Append
  /** Live states, and the commands that decide on them: `client.model.item('sku-1')`, `client.model.item.list()`. */
  readonly model: ModelHandles<M>
  readonly status: Live<Status>
  readonly refused: RefusedList<DenialsOfModels<M>>
  /** What became of an event that this device appended, after a reload too. */
  verdict(id: EventId): Promise<Knowledge<DenialsOfModels<M>>>
  /** The entries stored on this device after a position, at most about a megabyte of them. */
  entries<T extends Topic>(topic: T, after?: number): Promise<readonly EntryOf<T>[]>
  /** Cuts this tab's connection and stays away until `resume`, or a reload. */
  pause(): void
  resume(): void
  /** There is another token: it is asked for now, and renews the open link or opens the next one. */
  reauth(): void
  /** The person has been told of what `status.lost` says. */
  acknowledgeLoss(): void
  /**
   * Lets go of the connection, the locks and the database. What is pending stays on the device. From the call
   * on every other one rejects with `CLOSED`, but for what is being written already; resolves when that is
   * done and nothing of this client touches the database any more.
   */
  close(): Promise<void>
}

/**
 * Makes a client. It opens its database and its connection by itself, a moment later; on a server it never
 * does, and what it shows stays `loading`.
 *
 * @example
 * const client = createClient({ url: 'wss://…', user: 'u-42', models: { item } })
 */
export function createClient<const M extends Models = Record<never, AnyModel>>(
  options: ClientOptions<M>,
): Client<M> {
  const { user, scope = 'default', system = realSystem, onError = console.error } = options
  const { keysInMemoryMax: keysMax = defaultKeysInMemoryMax } = options
  const life = new AbortController()
  const status = createStatus(onError)
  const views = Object.entries(options.models ?? {}).map(
    ([name, model]) =>
      new ModelView({ name, model, keysMax, onError, onDegraded: () => status.degrade(name) }),
  )
  const topics = topicsOf(options)
  const logs = topics.read.map(({ name }) => ({ topic: name, scope }))
  const replica = new Replica({ logs, models: views, user, status, onError })
  const { disk, ...ports } = portsOf(options, `${options.name ?? 'tidemark'}/${user}/${scope}`)
  const lease = lend(disk, life.signal)
  const { store } = lease
  let limits: Limits = defaultLimits
  const preparing = { system, scope, user, topics: topics.known, limits: () => limits }
  const deciding = { ...preparing, replica, views }
  const tab = { ...ports, ...lease, replica, status, system, logs, onError }
  const sync = disk
    ? openSync(
        {
          ...tab,
          url: options.url,
          token: options.token,
          user: options.token && user,
          deciding,
          versions: topics.versions,
          onLimits: (announced) => void (limits = announced),
          onSignOut: () => void close().catch(onError),
        },
        life.signal,
      )
    : inertSync
  const { onStorage, catchUp, discard, pause, resume, reauth } = sync
  const watch: Watch | undefined = disk && openWitness({ ...tab, onStorage }, life.signal)
  const end = async (): Promise<void> => {
    life.abort()
    await sync.ended
  }
  const close = async (): Promise<void> => {
    await end()
    await disk?.close()
  }
  if (ports.isShared) takeOver(ports.lockName, () => void close().catch(onError), life.signal)
  const writer = openWriter({ ...sync, ...preparing, store, replica }, life.signal)
  const lookup = { store, replica, logs, catchUp }
  const execute = openExecute({ ...sync, ...deciding, writer })
  const handles = views.map((view) => [
    view.name,
    view.handle((key, command, input, given) =>
      execute({ model: view.name, key, command, input }, given),
    ),
  ])
  const { getSnapshot, getInitialSnapshot, subscribe } = replica.refused
  const client: Client<M> = {
    append: openAppend(preparing, writer),
    model: Object.fromEntries(handles) as ModelHandles<M>,
    status,
    refused: { getSnapshot, getInitialSnapshot, subscribe, discard } as Client<M>['refused'],
    verdict: (id) => findVerdict(lookup, id) as ReturnType<Client<M>['verdict']>,
    entries: (topic, after = 0) => readEntries(lookup, { topic, scope }, after),
    pause,
    resume,
    reauth,
    acknowledgeLoss: () => watch?.acknowledge(),
    close,
  }
  const forget = (): void => watch?.forget()
  setInside(client, { ...tab, ...sync, ...lookup, ...deciding, disk, writer, end, forget })
  return client
}

/** What an app hands over, or what the place brings along. */
function portsOf(options: ClientOptions<Models>, database: string) {
  const isShared = options.store === undefined
  const disk =
    options.store ??
    (hasIndexedDb() ? dexieStore({ name: database, system: options.system }) : undefined)
  // A store that was handed over may not be one that other tabs can open.
  const web = isShared && disk !== undefined
  return {
    disk,
    isShared: web,
    lockName: database,
    connect: options.connect ?? connectWebSocket,
    locks: options.locks ?? (web ? webLocks() : soloLocks),
    broadcast: options.broadcast ?? (web ? webBroadcast(database) : soloBroadcast),
    hints: options.hints ?? webHints,
    witness: options.witness ?? (web ? webWitness(`${database}/unsynced`) : noWitness),
    askToPersist: options.askToPersist ?? (web ? askToPersist : async () => undefined),
  }
}

function topicsOf({ models = {}, topics = [], writeOnly = [] }: ClientOptions<Models>) {
  const modelled = Object.values(models).map((model): Topic => model.topic)
  const byName = new Map([...modelled, ...topics].map((topic) => [topic.name, topic]))
  const read = [...byName.values()]
  for (const topic of writeOnly) byName.set(topic.name, topic)
  const versions = Object.fromEntries(
    [...byName.values()].flatMap((topic) =>
      Object.entries(topic.versions).map(([type, version]) => [`${topic.name}/${type}`, version]),
    ),
  )
  return { read, known: byName, versions }
}
