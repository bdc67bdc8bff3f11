/** The AMQP side of the emulator: connections, and what each of their links is for. */
import type { AddressInfo, Server, Socket } from 'node:net'
import type { Cancel, System } from '@tidemark/shared'
import rhea, {
  type Connection,
  type Container,
  type EventContext,
  type Receiver,
  type Sender,
  type Session,
} from 'rhea'
import { acceptSession, refuse, sessionFilter } from './accept-session.ts'
import type { Condition } from './core/message.ts'
import type { Namespace } from './core/namespace.ts'
import { openHandout } from './handout.ts'
import { openIntake } from './intake.ts'
import type { LinkWorld } from './link-world.ts'
import { manage } from './management.ts'
import { answerRequests, spellings } from './requests.ts'
import { answerAttach, Outcomes, takeRawMessages } from './rhea.ts'
import { findSasFault } from './sas.ts'

/** Faults on order. Paths are those of entities (`orders`, `orders/Subscriptions/billing`), or `*` for all. */
export interface EmulatorFaults {
  /** Refuses the next sends: `com.microsoft:server-busy`, `amqp:resource-limit-exceeded`, … */
  refuseSends(path: string, condition: Condition, times?: number): Promise<void>
  /** Stores what the next sends bring, and answers after `ms`, or never where it is `Infinity`. */
  delaySends(path: string, ms: number, times?: number): Promise<void>
  /** Does what the next settlements ask for, and answers after `ms`, or never where it is `Infinity`. */
  delaySettlements(path: string, ms: number, times?: number): Promise<void>
  /** Hands out nothing any more, on no link, without an error. */
  silence(path: string, isSilent?: boolean): Promise<void>
  /** Ends every lock on an entity, as if its time had come. */
  expireLocks(path: string): Promise<void>
  /** Closes the links of an entity with an error, as Azure does with idle ones or when it moves a partition. */
  detach(path: string, condition?: Condition): Promise<void>
  /** Hands out nothing more on the links of an entity that are open now: receivers that silently died. */
  deafen(path: string): Promise<void>
  /** Cuts every TCP connection, without a word. */
  killConnections(): Promise<void>
  /** Forgets everything that is planned. */
  clear(): Promise<void>
}

/** What is kept for one connection. */
interface Peer {
  /** True once a valid token was put, or where none is asked for. */
  isAuthorized: boolean
  /** What ends the part of each open link. */
  readonly links: Map<Sender | Receiver, { readonly path: string; readonly stop: Cancel }>
}

/** Speaks AMQP in front of a namespace. */
export class EmulatorServer {
  readonly #namespace: Namespace
  readonly #system: System
  readonly #key: string | undefined
  readonly #container: Container
  readonly #peers = new Map<Connection, Peer>()
  readonly #sockets = new Set<Socket>()
  readonly #worlds = new WeakMap<Session, LinkWorld>()
  #server: Server | undefined

  constructor(namespace: Namespace, system: System, key: string | undefined) {
    this.#namespace = namespace
    this.#system = system
    this.#key = key
    this.#container = rhea.create_container({ id: 'tidemark-emulator' })
    this.#listenTo(this.#container)
  }

  async listen(host: string, port: number): Promise<number> {
    const server = this.#container.listen({
      host,
      port,
      tcp_no_delay: true,
      // Room for many unsettled messages: one that is never settled blocks those behind it.
      session_buffer_size: 65_536,
      sender_options: { autosettle: false, treat_modified_as_released: false },
      receiver_options: { autoaccept: false, credit_window: 1_000 },
    } as never) as Server
    this.#server = server
    server.on('connection', (socket) => {
      this.#sockets.add(socket)
      socket.once('close', () => this.#sockets.delete(socket))
    })
    await new Promise<void>((resolve, reject) => {
      server.once('listening', resolve)
      server.once('error', reject)
    })
    return (server.address() as AddressInfo).port
  }

  faults(): EmulatorFaults {
    const { faults } = this.#namespace
    return {
      refuseSends: async (...plan) => faults.refuseSends(...plan),
      delaySends: async (...plan) => faults.delaySends(...plan),
      delaySettlements: async (...plan) => faults.delaySettlements(...plan),
      silence: async (...plan) => faults.silence(...plan),
      expireLocks: async (path) => faults.expireLocks(path),
      detach: async (path, condition = 'amqp:link:detach-forced') => this.#detach(path, condition),
      deafen: async (path) => this.#linksAt(path).forEach(({ open }) => open.stop()),
      killConnections: async () => this.#killConnections(),
      clear: async () => faults.clear(),
    }
  }

  async close(): Promise<void> {
    this.#killConnections()
    this.#namespace.close()
    const closed = new Promise((resolve) => void this.#server?.close(resolve))
    // Some may have connected and not said yet that they speak AMQP: the server would wait for them for ever.
    for (const socket of this.#sockets) socket.destroy()
    await closed
  }

  #listenTo(container: Container): void {
    container.on('connection_open', ({ connection }: EventContext) => this.#welcome(connection))
    container.on('connection_close', ({ connection }: EventContext) => this.#forget(connection))
    container.on('disconnected', ({ connection }: EventContext) => this.#forget(connection))
    container.on('session_open', ({ session }: EventContext) => session && takeRawMessages(session))
    container.on('session_close', ({ session }: EventContext) => this.#endSession(session))
    container.on('receiver_open', ({ receiver }: EventContext) => {
      if (receiver) this.#openIncoming(receiver)
    })
    container.on('sender_open', ({ sender }: EventContext) => {
      if (sender) this.#openOutgoing(sender)
    })
    container.on('receiver_close', ({ receiver }: EventContext) => this.#endLink(receiver))
    container.on('sender_close', ({ sender }: EventContext) => this.#endLink(sender))
    // Without a listener each of these would be thrown; what they tell of comes as a close as well.
    for (const name of ['connection_error', 'session_error', 'receiver_error', 'sender_error']) {
      container.on(name as 'error', () => {})
    }
    container.on('protocol_error', () => {})
    container.on('error', () => {})
  }

  #welcome(connection: Connection): void {
    this.#peers.set(connection, { isAuthorized: this.#key === undefined, links: new Map() })
  }

  #forget(connection: Connection): void {
    const peer = this.#peers.get(connection)
    this.#peers.delete(connection)
    for (const { stop } of peer?.links.values() ?? []) stop()
  }

  #endSession(session: Session | undefined): void {
    if (!session) return
    const peer = this.#peers.get(session.connection)
    for (const link of peer?.links.keys() ?? []) if (link.session === session) this.#endLink(link)
  }

  #endLink(link: Sender | Receiver | undefined): void {
    if (!link) return
    const links = this.#peers.get(link.connection)?.links
    links?.get(link)?.stop()
    links?.delete(link)
  }

  /** A client wants to send. */
  #openIncoming(link: Receiver): void {
    const path = pathOf(link.target?.address)
    const world = this.#worldOf(link.session)
    if (path === '$cbs') {
      answerRequests(link, spellings.cbs, world.outcomes, ({ body }) =>
        this.#putToken(link.connection, String(body)),
      )
      return
    }
    if (!this.#isAuthorized(link)) return
    const managed = managedPath(path)
    if (managed !== undefined) {
      answerRequests(link, spellings.management, world.outcomes, (request) =>
        manage(world, managed, request),
      )
    } else if (this.#namespace.destination(path)) {
      openIntake(link, path, world)
      this.#remember(link, path, () => {})
    } else this.#refuseMissing(link, path)
  }

  /** A client wants to receive. */
  #openOutgoing(link: Sender): void {
    const path = pathOf(link.source?.address)
    if (path === '$cbs' || managedPath(path) !== undefined) {
      // The answers to requests. Settled as they are sent, so that nobody waits for them.
      answerAttach(link, { source: link.source, target: link.target, snd_settle_mode: 1 })
      return
    }
    if (!this.#isAuthorized(link)) return
    const mailbox = this.#namespace.mailbox(path)
    if (!mailbox) return this.#refuseMissing(link, path)
    const world = this.#worldOf(link.session)
    const filter = (link.source as { filter?: Readonly<Record<string, unknown>> }).filter
    const wanted = filter?.[sessionFilter]
    if (mailbox.requiresSession) {
      if (wanted === undefined) return this.#refuseKind(link, mailbox.path, true)
      const name = typeof wanted === 'string' ? wanted : null
      this.#remember(link, path, acceptSession(link, mailbox, name, world))
      return
    }
    if (wanted !== undefined) return this.#refuseKind(link, mailbox.path, false)
    answerAttach(link, {
      source: link.source,
      target: link.target,
      snd_settle_mode: link.snd_settle_mode,
      rcv_settle_mode: link.rcv_settle_mode,
    })
    this.#remember(link, path, openHandout(link, mailbox, undefined, world))
  }

  #remember(link: Sender | Receiver, path: string, stop: Cancel): void {
    this.#peers.get(link.connection)?.links.set(link, { path: path.toLowerCase(), stop })
  }

  #worldOf(session: Session): LinkWorld {
    let world = this.#worlds.get(session)
    if (!world) {
      const outcomes = new Outcomes(this.#system)
      world = { system: this.#system, namespace: this.#namespace, outcomes }
      this.#worlds.set(session, world)
    }
    return world
  }

  #putToken(connection: Connection, token: string) {
    const fault = this.#key && findSasFault(token, this.#key, this.#system.now())
    const peer = this.#peers.get(connection)
    if (fault) {
      return { status: 401, description: fault, condition: 'amqp:unauthorized-access' }
    }
    if (peer) peer.isAuthorized = true
    return { status: 202, description: 'Accepted' }
  }

  #isAuthorized(link: Sender | Receiver): boolean {
    if (this.#peers.get(link.connection)?.isAuthorized) return true
    refuse(link, 'amqp:unauthorized-access', 'Unauthorized access: no valid token was put.')
    return false
  }

  #refuseMissing(link: Sender | Receiver, path: string): void {
    refuse(link, 'amqp:not-found', `The messaging entity '${path}' could not be found.`)
  }

  #refuseKind(link: Sender, path: string, hasSessions: boolean): void {
    const description = hasSessions
      ? `It is not possible for an entity that requires sessions to create a non-sessionful message receiver: ${path}.`
      : `A sessionful message receiver cannot be created on an entity that does not require sessions: ${path}.`
    refuse(link, 'amqp:not-allowed', description)
  }

  #linksAt(path: string) {
    const wanted = path.toLowerCase()
    return [...this.#peers.values()].flatMap(({ links }) =>
      [...links]
        .filter(([, open]) => wanted === '*' || open.path === wanted)
        .map(([link, open]) => ({ links, link, open })),
    )
  }

  #detach(path: string, condition: Condition): void {
    for (const { links, link, open } of this.#linksAt(path)) {
      open.stop()
      links.delete(link)
      refuse(link, condition, 'The link was detached by a fault on order.')
    }
  }

  #killConnections(): void {
    for (const connection of this.#peers.keys()) {
      const { socket } = connection as unknown as { socket?: { destroy(): void } }
      socket?.destroy()
      this.#forget(connection)
    }
  }
}

/** The path of an address, which may be a whole URL. */
const pathOf = (address: unknown): string =>
  String(address ?? '')
    .replace(/^\w+:\/\/[^/]*/, '')
    .replace(/^\//, '')

/** The entity whose management node this is. */
const managedPath = (path: string): string | undefined =>
  /\/\$management$/i.test(path) ? path.slice(0, -'/$management'.length) : undefined
