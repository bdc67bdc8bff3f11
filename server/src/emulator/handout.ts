/** Hands out a mailbox's messages on one link, as far as its credit goes, and takes what becomes of them. */
import type { Cancel } from '@tidemark/shared'
import type { EventContext, Sender } from 'rhea'
import { fromUuid, toUuid, turnGuid } from './guid.ts'
import type { Mailbox, TakeMode } from './core/mailbox.ts'
import type { Session } from './core/session.ts'
import type { LinkWorld } from './link-world.ts'
import { answerDrains, type Delivery, roomOf } from './rhea.ts'
import { encodeStored } from './wire-message.ts'

/** What a receiver is told when it settles too late. */
const lockLost = {
  condition: 'com.microsoft:message-lock-lost',
  description:
    'The lock supplied is invalid. Either the lock expired, or the message has already been removed from the queue.',
}

/** Starts handing out on a link that is open. The answer stops it, when the link is gone. */
export function openHandout(
  link: Sender,
  mailbox: Mailbox,
  session: Session | undefined,
  world: LinkWorld,
): Cancel {
  const { system, namespace, outcomes } = world
  const mode: TakeMode = link.snd_settle_mode === 1 ? 'delete' : 'lock'
  let isOpen = true

  const pump = (): void => {
    const room = isOpen ? roomOf(link) : 0
    if (room <= 0) return
    for (const stored of mailbox.take(room, mode, session)) {
      const token = stored.lock?.token ?? system.uuid()
      link.send(encodeStored(stored) as never, turnGuid(fromUuid(token)), 0)
    }
  }

  const settle = (context: EventContext, act: (token: string, state: State) => boolean): void => {
    const delivery = context.delivery as unknown as Delivery
    const isDone = act(toUuid(turnGuid(delivery.tag)), (delivery.remote_state ?? {}) as State)
    const answer = () =>
      // A dead letter is answered with a plain yes too: its error would look like one of ours.
      isDone ? outcomes.accept(delivery) : outcomes.reject(delivery, lockLost)
    const ms = namespace.faults.takeSettlementDelay(mailbox.path)
    if (ms === 0) answer()
    else if (ms < Infinity) system.after(ms, answer)
  }

  answerDrains(link)
  link.on('sender_flow', pump)
  link.on('sender_draining', () => {
    pump()
    link.set_drained(true)
  })
  link.on('sendable', pump)
  link.on('accepted', (context) => settle(context, (token) => mailbox.complete(token)))
  link.on('released', (context) => settle(context, (token) => mailbox.abandon(token)))
  link.on('modified', (context) =>
    settle(context, (token, { undeliverable_here: isDeferred, message_annotations: changes }) =>
      isDeferred ? mailbox.defer(token, changes) : mailbox.abandon(token, changes),
    ),
  )
  link.on('rejected', (context) =>
    settle(context, (token, { error }) => {
      const { DeadLetterReason, DeadLetterErrorDescription, ...changes } = error?.info ?? {}
      const reason = String(DeadLetterReason ?? error?.condition ?? '')
      const description = String(DeadLetterErrorDescription ?? error?.description ?? '')
      return mailbox.deadLetter(token, { reason, description }, changes)
    }),
  )
  const stopHearing = mailbox.onReady(pump, session)
  pump()
  return () => {
    isOpen = false
    stopHearing()
  }
}

type Changes = Readonly<Record<string, unknown>>

/** What a client says of a delivery. */
interface State {
  readonly undeliverable_here?: boolean
  readonly message_annotations?: Changes
  readonly error?: {
    readonly condition?: string
    readonly description?: string
    readonly info?: Changes
  }
}
