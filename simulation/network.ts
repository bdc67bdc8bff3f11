/**
 * The network: connections between machines, with delay, resets, clogs, partitions, half-open links
 * and ends that are told late. What arrives on one connection arrives in order and once, for it is
 * TCP; loss is the loss of the connection, or its silent death.
 */
import type { Connect, Socket, SocketHandlers } from '@tidemark/shared'
import type { Random } from './random.ts'
import type { Life, World } from './world.ts'

/** Takes a connection in, or refuses it by returning nothing. */
export type Accept = (socket: Socket) => SocketHandlers | undefined

/** How bad the network is. Shares are of connections or messages, delays in ms. */
export interface NetworkFaults {
  readonly delayMs: number
  /** Of messages that meet a clog: everything behind them waits as well. */
  readonly clogShare: number
  readonly clogMs: number
  /** Of connections that die before they open. */
  readonly refusedShare: number
  /** Mean life of a connection until it is reset. 0: never. */
  readonly resetMs: number
  /** Mean life of a connection until it goes silent without an end. 0: never. */
  readonly silentMs: number
  /** Of ends that one side learns of late, or only when it speaks. */
  readonly lateShare: number
}

/** A network without faults. */
export const calm: NetworkFaults = {
  delayMs: 10,
  clogShare: 0,
  clogMs: 0,
  refusedShare: 0,
  resetMs: 0,
  silentMs: 0,
  lateShare: 0,
}

/** A browser gives up on a peer that does not answer the handshake after about this long, in ms. */
const dialMsMax = 75_000
/** Close code of a connection that ended without a close frame. */
const abnormal = 1006

type Side = 'client' | 'gateway'
const otherSide = { client: 'gateway', gateway: 'client' } as const

/** What somebody who listens on the line sees. */
export interface Overheard {
  readonly connection: number
  readonly from: string
  readonly to: string
  readonly side: Side
  readonly message: string
}

interface End {
  readonly life: Life
  handlers: SocketHandlers
  /** Messages on their way to this end. */
  readonly incoming: string[]
  arrivesAt: number
  /** What is sent to this end vanishes. */
  isDeaf: boolean
  isOpen: boolean
  isTold: boolean
}

/** One connection. */
interface Connection {
  readonly id: number
  readonly host: string
  readonly client: End
  gateway: End | undefined
  /** It is gone, though its ends may not know. */
  isReset: boolean
}

const decoder = new TextDecoder()
const textOf = (message: string | Uint8Array): string =>
  typeof message === 'string' ? message : decoder.decode(message)

const silent: SocketHandlers = { onOpen() {}, onMessage() {}, onClose() {} }

interface Listener {
  readonly life: Life
  readonly accept: Accept
}

/** All connections there are, and the faults that befall them. */
export class Network {
  faults: NetworkFaults
  /** Called with each message that a side sends, also when it never arrives. */
  onSent: (heard: Overheard) => void = () => {}
  /** Called just before a message reaches its side. */
  onReceived: (heard: Overheard) => void = () => {}
  readonly #world: World
  readonly #random: Random
  readonly #hosts = new Map<string, Listener[]>()
  readonly #connections = new Set<Connection>()
  /** Machines that are cut off, from whom, as `machine` or `machine>host` and `host>machine`. */
  readonly #cuts = new Set<string>()
  #count = 0

  constructor(world: World, random: Random, faults: NetworkFaults) {
    this.#world = world
    this.#random = random
    this.faults = faults
  }

  /** Opens `host` to connections for as long as `life` lasts. Several share them. */
  listen(host: string, life: Life, accept: Accept): void {
    const others = (this.#hosts.get(host) ?? []).filter((each) => !each.life.isOver)
    this.#hosts.set(host, [...others, { life, accept }])
  }

  /** Whoever a balancer hands the next connection to. */
  #listener(host: string): Listener | undefined {
    const all = (this.#hosts.get(host) ?? []).filter(({ life }) => !life.isOver)
    return all.length > 1 ? this.#random.pick(all) : all[0]
  }

  /** The connections of a machine on which both sides still hear each other. */
  alive(machine: string): readonly number[] {
    return this.#of(machine)
      .filter(({ client, gateway, isReset }) => {
        const ends = [client, gateway]
        return !isReset && ends.every((end) => end?.isOpen && !end.isDeaf && !end.life.isOver)
      })
      .map(({ id }) => id)
  }

  /** The port for a process. The URL's host names who listens. */
  connectOf(life: Life): Connect {
    return (url, handlers) => {
      const client = this.#createEnd(life, handlers)
      const connection: Connection = {
        id: ++this.#count,
        host: new URL(url).hostname,
        client,
        gateway: undefined,
        isReset: false,
      }
      this.#connections.add(connection)
      this.#world.after(this.#delay(), () => this.#dial(connection))
      return this.#socket(connection, 'client')
    }
  }

  /** Cuts a machine off: both ways, or one way only. What is on its way waits. */
  cut(machine: string, way: 'both' | 'in' | 'out'): void {
    if (way !== 'out') this.#cuts.add(`>${machine}`)
    if (way !== 'in') this.#cuts.add(`${machine}>`)
  }

  /** Joins a machine again. */
  join(machine: string): void {
    this.#cuts.delete(`>${machine}`)
    this.#cuts.delete(`${machine}>`)
    for (const connection of this.#of(machine)) this.#rejoin(connection)
  }

  /** Resets every connection of a machine: both sides are told, sooner or later. */
  reset(machine: string): void {
    for (const connection of this.#of(machine)) this.#kill(connection)
  }

  /** Lets every connection of a machine die without a word; `side` alone stops hearing, or both do. */
  silence(machine: string, side: Side | 'both'): void {
    for (const { client, gateway } of this.#of(machine)) {
      if (side !== 'gateway') client.isDeaf = true
      if (side !== 'client' && gateway) gateway.isDeaf = true
    }
  }

  /** The process is gone: the other side is told at once, when it speaks, or never. */
  drop(life: Life): void {
    for (const connection of this.#connections) {
      const { client, gateway } = connection
      if (client.life !== life && gateway?.life !== life) continue
      const gone = client.life === life ? client : gateway
      const left = client.life === life ? gateway : client
      if (gone) gone.isOpen = false
      if (left && !this.#random.chance(this.faults.lateShare)) this.#tell(connection, left)
      if (gone && left) gone.isDeaf = true
    }
  }

  /** Ends all faults that can end. What is dead stays dead: both sides have to find out by themselves. */
  heal(): void {
    this.faults = calm
    this.#cuts.clear()
    for (const connection of this.#connections) {
      for (const end of [connection.client, connection.gateway]) if (end) end.arrivesAt = 0
      this.#rejoin(connection)
    }
  }

  /** A cut has ended. Some connections survive it; others turn out to be dead. */
  #rejoin(connection: Connection): void {
    if (this.#random.chance(0.5)) this.#kill(connection)
    else this.#deliverWaiting(connection)
  }

  #of(machine: string): Connection[] {
    return [...this.#connections].filter(
      ({ client, gateway }) =>
        client.life.machine.name === machine || gateway?.life.machine.name === machine,
    )
  }

  #createEnd(life: Life, handlers: SocketHandlers): End {
    return {
      life,
      handlers,
      incoming: [],
      arrivesAt: 0,
      isDeaf: false,
      isOpen: true,
      isTold: false,
    }
  }

  #delay(): number {
    const { delayMs, clogShare, clogMs } = this.faults
    const clog = this.#random.chance(clogShare) ? this.#random.exponential(clogMs) : 0
    return 0.1 + delayMs * 0.2 + this.#random.exponential(delayMs * 0.8) + clog
  }

  #isCut(from: End, to: End): boolean {
    return (
      this.#cuts.has(`${from.life.machine.name}>`) || this.#cuts.has(`>${to.life.machine.name}`)
    )
  }

  /** The handshake: refused, lost, or taken in. */
  #dial(connection: Connection): void {
    const { client, host } = connection
    if (client.life.isOver || !client.isOpen) return
    const name = client.life.machine.name
    const listener = this.#listener(host)
    if (this.#cuts.has(`${name}>`) || this.#cuts.has(`>${name}`)) {
      this.#world.after(this.#random.between(1_000, dialMsMax), () =>
        this.#tell(connection, client),
      )
      return
    }
    const isRefused = this.#random.chance(this.faults.refusedShare)
    if (!listener || isRefused) return this.#tell(connection, client)
    const accept = () => this.#accept(connection, listener.life, listener.accept)
    this.#world.after(this.#delay(), accept, listener.life)
  }

  #accept(connection: Connection, life: Life, accept: Accept): void {
    const { client } = connection
    if (client.life.isOver || !client.isOpen) return
    const gateway = this.#createEnd(life, silent)
    connection.gateway = gateway
    const handlers = accept(this.#socket(connection, 'gateway'))
    if (!handlers) return this.#tell(connection, client)
    gateway.handlers = handlers
    handlers.onOpen()
    const open = () => {
      if (client.isOpen && !client.isTold) client.handlers.onOpen()
    }
    client.arrivesAt = this.#world.now + this.#delay()
    this.#world.after(client.arrivesAt - this.#world.now, open, client.life)
    this.#doom(connection)
  }

  /** Draws when and how this connection is going to die. */
  #doom(connection: Connection): void {
    const { resetMs, silentMs } = this.faults
    if (resetMs > 0) {
      this.#world.after(this.#random.exponential(resetMs), () => {
        if (this.faults.resetMs > 0) this.#kill(connection)
      })
    }
    if (silentMs === 0) return
    this.#world.after(this.#random.exponential(silentMs), () => {
      if (this.faults.silentMs === 0) return
      const side = this.#random.pick(['client', 'gateway', 'both'] as const)
      if (side !== 'gateway') connection.client.isDeaf = true
      if (side !== 'client' && connection.gateway) connection.gateway.isDeaf = true
    })
  }

  #socket(connection: Connection, side: Side): Socket {
    return {
      send: (message) => this.#send(connection, side, textOf(message)),
      close: (code, reason) => this.#close(connection, side, code, reason),
    }
  }

  #send(connection: Connection, side: Side, message: string): void {
    const from = connection[side]
    const to = connection[otherSide[side]]
    if (!from?.isOpen || from.isTold || from.life.isOver) return
    this.onSent({
      connection: connection.id,
      from: from.life.name,
      to: to?.life.name ?? connection.host,
      side,
      message,
    })
    if (!to || connection.isReset) return
    if (!to.isOpen && !to.isDeaf) return this.#tell(connection, from)
    if (to.isDeaf) return this.#meetSilence(connection, from, to)
    to.incoming.push(message)
    this.#deliverNext(connection, otherSide[side])
  }

  /** Who talks to a process that is gone is told so, unless something in between swallows it. */
  #meetSilence(connection: Connection, from: End, to: End): void {
    if (to.life.isOver && this.#random.chance(0.5)) this.#tell(connection, from)
  }

  #deliverNext(connection: Connection, side: Side): void {
    const to = connection[side]
    const from = connection[otherSide[side]]
    if (!to || !from) return
    to.arrivesAt = Math.max(this.#world.now + this.#delay(), to.arrivesAt + 0.001)
    const deliver = () => {
      if (to.isDeaf || this.#isCut(from, to)) return
      const message = to.incoming.shift()
      if (message === undefined || !to.isOpen || to.isTold) return
      this.onReceived({
        connection: connection.id,
        from: from.life.name,
        to: to.life.name,
        side,
        message,
      })
      to.handlers.onMessage(message)
    }
    this.#world.after(to.arrivesAt - this.#world.now, deliver, to.life)
  }

  /** What a cut held back arrives now. */
  #deliverWaiting(connection: Connection): void {
    for (const side of ['client', 'gateway'] as const) {
      const waiting = connection[side]?.incoming.length ?? 0
      for (let index = 0; index < waiting; index++) this.#deliverNext(connection, side)
    }
  }

  /** One side closes: it is told itself, and the other hears of it after what is on its way. */
  #close(connection: Connection, side: Side, code: number, reason: string): void {
    const from = connection[side]
    const to = connection[otherSide[side]]
    if (!from?.isOpen) return
    from.isOpen = false
    this.#tell(connection, from, code, reason)
    if (!to?.isOpen || to.isDeaf) return
    if (!this.#isCut(from, to)) this.#tell(connection, to, code, reason)
    else to.isDeaf = true
  }

  /** The connection is reset. Either side may learn of it late. */
  #kill(connection: Connection): void {
    connection.isReset = true
    for (const end of [connection.client, connection.gateway]) this.#loseTail(end)
    this.#tell(connection, connection.client)
    if (connection.gateway) this.#tell(connection, connection.gateway)
  }

  /** Some of what was on its way is lost: the newest. */
  #loseTail(end: End | undefined): void {
    if (end) end.incoming.length = this.#random.below(end.incoming.length + 1)
  }

  /** Tells a side that its connection is gone: after what is on its way to it, and maybe much later. */
  #tell(connection: Connection, end: End, code = abnormal, reason = ''): void {
    const late = this.#random.chance(this.faults.lateShare) ? this.#random.exponential(20_000) : 0
    const wait = Math.max(this.#delay(), end.arrivesAt - this.#world.now + 0.001) + late
    const close = () => {
      if (end.isTold) return
      end.isTold = true
      end.isOpen = false
      this.#forget(connection)
      end.handlers.onClose(code, reason)
    }
    this.#world.after(wait, close, end.life)
  }

  #forget(connection: Connection): void {
    const { client, gateway } = connection
    const isGone = (end: End | undefined) => !end || end.isTold || end.life.isOver
    if (isGone(client) && isGone(gateway)) this.#connections.delete(connection)
  }
}
