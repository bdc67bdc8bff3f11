/**
 * A place that messages are received from: a queue, a subscription, or the dead letters of one. It
 * hands a message to one receiver at a time and keeps it until that receiver settles it; a lock that
 * ends unsettled counts as a failure, and too many of those are dead-lettered.
 */
import { assert, type Cancel, type System } from '@tidemark/shared'
import { Listeners } from './listeners.ts'
import { Locks } from './locks.ts'
import type { Envelope, Stored } from './message.ts'
import { Session, type SessionKeeper } from './session.ts'
import { Sweep } from './sweep.ts'
import type { MailboxOptions } from './topology.ts'

/** Why and from where a message was dead-lettered. */
export interface DeadLetter {
  readonly reason: string
  readonly description: string
}

/** What a mailbox needs of its namespace. */
export interface Surroundings {
  readonly system: System
  /** Takes in a message that this mailbox has given up. */
  bury(from: Mailbox, message: Stored, why: DeadLetter): void
  /** Hands out nothing at the moment: a fault. */
  isSilent(path: string): boolean
}

/** Peek-lock, or gone as soon as it is handed out. */
export type TakeMode = 'lock' | 'delete'

/** A place that messages are received from. */
export class Mailbox implements SessionKeeper {
  readonly path: string
  readonly lockMs: number
  readonly requiresSession: boolean
  readonly options: MailboxOptions
  readonly #surroundings: Surroundings
  readonly #messages = new Map<number, Stored>()
  readonly #locks: Locks
  readonly #sweep: Sweep
  readonly #sessions = new Map<string, Session>()
  /** Holds every message where sessions are not required. */
  readonly #all: Session
  /** Sessions that have messages and no receiver, the one that waits longest first. */
  readonly #free = new Set<Session>()
  /** Sessions that got messages since the last `wake`. */
  readonly #touched = new Set<Session>()
  readonly #sessionReady = new Listeners()
  #lastSequence = 0

  constructor(path: string, options: MailboxOptions, surroundings: Surroundings) {
    this.path = path
    this.options = options
    this.lockMs = options.lockMs ?? 60_000
    this.requiresSession = options.requiresSession ?? false
    this.#surroundings = surroundings
    this.#all = new Session('', this)
    // The locks of a session's messages end with the session.
    const ended = this.requiresSession ? undefined : (all: readonly Stored[]) => this.#takeBack(all)
    this.#locks = new Locks(surroundings.system, this.lockMs, ended)
    this.#sweep = new Sweep(surroundings.system, (now) => this.#expireUntil(now))
  }

  get system(): System {
    return this.#surroundings.system
  }

  /** How many messages are here, whatever their state. */
  get size(): number {
    return this.#messages.size
  }

  /** How many messages are handed out and not settled. */
  get lockedCount(): number {
    return this.#locks.size
  }

  /** Takes a message in. Receivers hear of it by `wake`, so that a batch rings once. */
  put(envelope: Envelope, more: Partial<Pick<Stored, 'changes' | 'deadLetterSource'>> = {}): void {
    const enqueuedAt = this.system.now()
    const ttlMs = Math.min(envelope.ttlMs ?? Infinity, this.options.ttlMs ?? Infinity)
    const message: Stored = {
      envelope,
      sequence: ++this.#lastSequence,
      enqueuedAt,
      expiresAt: enqueuedAt + ttlMs,
      failures: 0,
      state: 'ready',
      lock: undefined,
      changes: more.changes,
      deadLetterSource: more.deadLetterSource,
      wasDeferred: false,
    }
    this.#messages.set(message.sequence, message)
    const session = this.#sessionOf(message)
    session.line.join(message)
    this.#touch(session)
    this.#sweep.by(message.expiresAt)
  }

  /** Tells receivers that there may be something to take. */
  wake(): void {
    const touched = [...this.#touched]
    this.#touched.clear()
    for (const session of touched) session.readyListeners.call()
    if (this.#free.size > 0) this.#sessionReady.call()
  }

  /** Tells every receiver, whether anything came or not. */
  wakeAll(): void {
    this.#touched.add(this.#all)
    for (const session of this.#sessions.values()) this.#touched.add(session)
    this.wake()
  }

  /** Calls `heard` when there may be something to take: here, or in the session `hold` holds. */
  onReady(heard: () => void, session: Session = this.#all): Cancel {
    return session.readyListeners.add(heard)
  }

  /** Calls `heard` when a session may have become free to accept. */
  onSessionReady(heard: () => void): Cancel {
    return this.#sessionReady.add(heard)
  }

  /** Hands out up to `max` messages, in order. A session mailbox is read through the session that was accepted. */
  take(max: number, mode: TakeMode, session: Session = this.#all): readonly Stored[] {
    assert(
      session !== this.#all || !this.requiresSession,
      'a session mailbox is read through a session',
    )
    if (this.#surroundings.isSilent(this.path)) return []
    const now = this.system.now()
    const taken: Stored[] = []
    while (taken.length < max) {
      const message = session.line.take()
      if (!message) break
      if (message.expiresAt <= now) this.#expire(message)
      else taken.push(this.#handOut(message, mode, session, now))
    }
    return taken
  }

  /** Hands out messages that were put aside, by their numbers. Missing ones are left out. */
  takeDeferred(
    sequences: readonly number[],
    mode: TakeMode,
    session: Session = this.#all,
  ): readonly Stored[] {
    const now = this.system.now()
    return sequences.flatMap((sequence) => {
      const message = this.#messages.get(sequence)
      if (message?.state !== 'deferred' || this.#sessionOf(message) !== session) return []
      message.wasDeferred = true
      return [this.#handOut(message, mode, session, now)]
    })
  }

  /** Was the message of this number put aside? */
  isDeferred(sequence: number): boolean {
    return this.#messages.get(sequence)?.state === 'deferred'
  }

  /** Messages from a number on, whatever their state, without handing them out. */
  peek(fromSequence: number, max: number, sessionId?: string): readonly Stored[] {
    const found: Stored[] = []
    const now = this.system.now()
    for (const message of this.#messages.values()) {
      if (found.length === max) break
      if (message.sequence < fromSequence || message.expiresAt <= now) continue
      if (sessionId !== undefined && message.envelope.sessionId !== sessionId) continue
      found.push(message)
    }
    return found
  }

  /** Done with it. False: the lock is lost. */
  complete(token: string): boolean {
    const message = this.#locks.release(token)
    if (message) this.#remove(message)
    return message !== undefined
  }

  /** Gives it back, to be handed out again at its old place. False: the lock is lost. */
  abandon(token: string, changes?: Stored['changes']): boolean {
    const message = this.#locks.release(token)
    if (!message) return false
    this.#change(message, changes)
    this.#giveBack(message, true)
    this.wake()
    return true
  }

  /** Puts it aside: it is handed out by its number only. False: the lock is lost. */
  defer(token: string, changes?: Stored['changes']): boolean {
    const message = this.#locks.release(token)
    if (!message) return false
    this.#change(message, changes)
    message.state = 'deferred'
    return true
  }

  /** Moves it to the dead letters. False: the lock is lost. */
  deadLetter(token: string, why: DeadLetter, changes?: Stored['changes']): boolean {
    const message = this.#locks.release(token)
    if (!message) return false
    this.#change(message, changes)
    this.#bury(message, why)
    return true
  }

  /** Keeps a message for another lock time; answers with its new end in ms since 1970. Undefined: the lock is lost. */
  renew(token: string): number | undefined {
    return this.#locks.renew(token)
  }

  /** The session of this name, as an object that lives while there is something to remember. */
  session(id: string): Session {
    assert(this.requiresSession, `${this.path} has sessions`)
    let session = this.#sessions.get(id)
    if (!session) this.#sessions.set(id, (session = new Session(id, this)))
    return session
  }

  /** The next session that has messages and no receiver. */
  nextSession(): Session | undefined {
    for (const session of this.#free) {
      if (!session.isHeld && session.line.first()) return session
      this.#free.delete(session)
    }
    return undefined
  }

  /** The names of sessions that have messages or a state. */
  sessionIds(): readonly string[] {
    return [...this.#sessions.values()]
      .filter((session) => session.line.first() ?? session.state)
      .map(({ id }) => id)
  }

  /** A receiver let go of its session: what it had not settled becomes ready, and others may have it. */
  released(session: Session, isFailure: boolean): void {
    for (const [token, message] of this.#locks.entries()) {
      if (this.#sessionOf(message) !== session) continue
      this.#locks.release(token)
      this.#giveBack(message, isFailure)
    }
    if (session.line.first()) this.#touch(session)
    else if (!session.state) this.#sessions.delete(session.id)
    this.wake()
  }

  /** Ends every lock now, as if its time had come: a fault. */
  expireLocks(): void {
    for (const session of this.#sessions.values()) session.expire()
    this.#locks.expireAll()
  }

  /** Stops all timers. */
  close(): void {
    this.#locks.close()
    this.#sweep.close()
    for (const session of this.#sessions.values()) session.stop()
  }

  #sessionOf({ envelope }: Stored): Session {
    return this.requiresSession ? this.session(envelope.sessionId ?? '') : this.#all
  }

  #handOut(message: Stored, mode: TakeMode, session: Session, now: number): Stored {
    if (mode === 'delete') {
      this.#remove(message)
      return message
    }
    this.#locks.grant(message, this.requiresSession ? session.until : now + this.lockMs)
    return message
  }

  #takeBack(messages: readonly Stored[]): void {
    for (const message of messages) this.#giveBack(message, true)
    this.wake()
  }

  #giveBack(message: Stored, isFailure: boolean): void {
    if (isFailure) message.failures += 1
    if (message.wasDeferred) {
      message.state = 'deferred'
      return
    }
    message.state = 'ready'
    const max = this.options.maxDeliveryCount ?? 10
    if (message.failures >= max) {
      const description = `Message could not be consumed after ${max} delivery attempts.`
      return this.#bury(message, { reason: 'MaxDeliveryCountExceeded', description })
    }
    if (message.expiresAt <= this.system.now()) return this.#expire(message)
    const session = this.#sessionOf(message)
    session.line.putBack(message)
    this.#touch(session)
  }

  #touch(session: Session): void {
    this.#touched.add(session)
    if (this.requiresSession && !session.isHeld) this.#free.add(session)
  }

  #change(message: Stored, changes: Stored['changes']): void {
    if (changes) message.changes = { ...message.changes, ...changes }
  }

  #remove(message: Stored): void {
    message.state = 'gone'
    this.#messages.delete(message.sequence)
  }

  #bury(message: Stored, why: DeadLetter): void {
    this.#remove(message)
    this.#surroundings.bury(this, message, why)
  }

  #expire(message: Stored): void {
    if (!this.options.deadLettersExpired) return this.#remove(message)
    const description = 'The message expired and was dead lettered.'
    this.#bury(message, { reason: 'TTLExpiredException', description })
  }

  /** Expires what its time has come for; answers with the next time that something will. */
  #expireUntil(now: number): number {
    let next = Infinity
    for (const message of this.#messages.values()) {
      if (message.state === 'locked') continue
      if (message.expiresAt <= now) this.#expire(message)
      else next = Math.min(next, message.expiresAt)
    }
    return next
  }
}
