/** The client: composes store, hops and live state. What it does is in the files that it wires together. */
import {
  type AnyModel,
  type Broadcast,
  type Connect,
  defaultLimits,
  type EntryOf,
  type EventId,
  type Limits,
  type Locks,
  system as realSystem,
  type System,
  type Topic,
} from '@tidemark/shared'
import { type Append, openAppend } from './append.ts'
import type { Hints } from './hints.ts'
import type { Live } from './live.ts'
import { findVerdict, type Knowledge, readEntries } from './lookup.ts'
import { type ModelHandles, ModelView } from './models.ts'
import { Replica } from './replica.ts'
import { createStatus, type Status } from './status.ts'
import { dexieStore } from './store/dexie.ts'
import type { Refused, Store } from './store/store.ts'
import { inertSync, openSync } from './sync.ts'
import { connectWebSocket } from './websocket.ts'
import {
  hasIndexedDb,
  soloBroadcast,
  soloLocks,
  webBroadcast,
  webHints,
  webLocks,
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
  /** What the gateway authenticates, asked for at each connection. Without it any answer of the gateway is taken. */
  readonly token?: () => string | undefined | Promise<string | undefined>
  /** States to fold. Their topics are subscribed to. */
  readonly models?: M
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
  readonly system?: System
  /** Told of what should not happen and stops nothing: a listener or a fold that throws, a disk that fails. */
  readonly onError?: (error: unknown) => void
}

/** The refused events of this device. They stay until they are discarded, over reloads too. */
export interface RefusedList extends Live<readonly Refused[]> {
  discard(...ids: readonly EventId[]): Promise<void>
}

/** An app's end of Tidemark. */
export interface Client<M extends Models = Models> {
  readonly append: Append
  /** Live states: `client.model.item('sku-1')`, `client.model.item.list()`. */
  readonly model: ModelHandles<M>
  readonly status: Live<Status>
  readonly refused: RefusedList
  /** What became of an event that this device appended, after a reload too. */
  verdict(id: EventId): Promise<Knowledge>
  /** The entries stored on this device after a position, at most about a megabyte of them. */
  entries<T extends Topic>(topic: T, after?: number): Promise<readonly EntryOf<T>[]>
  /** Cuts this tab's connection and stays away until `resume`, or a reload. */
  pause(): void
  resume(): void
  /** Lets go of the connection, the locks and the database. What is pending stays on the device. */
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
  const life = new AbortController()
  const status = createStatus(onError)
  const views = Object.entries(options.models ?? {}).map(
    ([name, model]) => [name, new ModelView(model, onError, () => status.degrade(name))] as const,
  )
  const topics = topicsOf(options)
  const logs = topics.read.map(({ name }) => ({ topic: name, scope }))
  const models = views.map(([, view]) => view)
  const replica = new Replica({ logs, models, user, status, onError })
  const { store, ...ports } = portsOf(options, `${options.name ?? 'tidemark'}/${user}/${scope}`)
  let limits: Limits = defaultLimits
  const sync = store
    ? openSync(
        {
          ...ports,
          store,
          replica,
          status,
          system,
          logs,
          onError,
          url: options.url,
          token: options.token,
          user: options.token && user,
          versions: topics.versions,
          onLimits: (announced) => void (limits = announced),
        },
        life.signal,
      )
    : inertSync
  const append = openAppend(
    { ...sync, store, replica, system, scope, user, topics: topics.known, limits: () => limits },
    life.signal,
  )
  const lookup = { store, replica, logs, sync }
  return {
    append,
    model: Object.fromEntries(
      views.map(([name, view]) => [name, view.handle()]),
    ) as ModelHandles<M>,
    status,
    refused: { ...replica.refused, discard: (...ids) => sync.discard(ids) },
    verdict: (id) => findVerdict(lookup, id),
    entries: (topic, after = 0) => readEntries(lookup, { topic, scope }, after),
    pause: () => sync.pause(),
    resume: () => sync.resume(),
    async close() {
      life.abort()
      await sync.ended
      await store?.close()
    },
  }
}

/** What an app hands over, or what the place brings along. */
function portsOf(options: ClientOptions<Models>, database: string) {
  const isShared = options.store === undefined
  const store =
    options.store ??
    (hasIndexedDb() ? dexieStore({ name: database, system: options.system }) : undefined)
  // A store that was handed over may not be one that other tabs can open.
  const web = isShared && store !== undefined
  return {
    store,
    lockName: database,
    connect: options.connect ?? connectWebSocket,
    locks: options.locks ?? (web ? webLocks() : soloLocks),
    broadcast: options.broadcast ?? (web ? webBroadcast(database) : soloBroadcast),
    hints: options.hints ?? webHints,
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
