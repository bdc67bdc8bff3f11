/** Accepting a session: one by name, or the next that has messages, with a wait until there is one. */
import type { Cancel } from '@tidemark/shared'
import type { Sender } from 'rhea'
import type { Mailbox } from './core/mailbox.ts'
import type { Session } from './core/session.ts'
import { openHandout } from './handout.ts'
import type { LinkWorld } from './link-world.ts'
import { answerAttach, holdAttach, long } from './rhea.ts'

/** The filter that names a session; its value is null for the next one. */
export const sessionFilter = 'com.microsoft:session-filter'

/** How long a client waits for the next session unless it says so, in ms. */
const defaultTimeoutMs = 60_000

/** Answers an attach that asks for a session. The answer of this function ends the link's part in it. */
export function acceptSession(
  link: Sender,
  mailbox: Mailbox,
  wanted: string | null,
  world: LinkWorld,
): Cancel {
  let stop: Cancel = () => {}
  const grant = (session: Session): void => {
    const lost = () => {
      stop()
      refuse(
        link,
        'com.microsoft:session-lock-lost',
        'The session lock has expired on the session.',
      )
    }
    if (!session.accept(lost)) return
    answerGranted(link, session)
    const stopHandingOut = openHandout(link, mailbox, session, world)
    stop = () => {
      stopHandingOut()
      session.release()
    }
  }

  if (wanted !== null) {
    const session = mailbox.session(wanted)
    if (session.isHeld) {
      const description = `The requested session '${wanted}' cannot be accepted. It may be locked by another receiver.`
      refuse(link, 'com.microsoft:session-cannot-be-locked', description)
    } else grant(session)
    return () => stop()
  }

  const next = mailbox.nextSession()
  if (next) grant(next)
  else stop = waitForSession(link, mailbox, world, grant)
  return () => stop()
}

/** Holds the attach back until a session is free or the client's time is over. */
function waitForSession(
  link: Sender,
  mailbox: Mailbox,
  { system }: LinkWorld,
  grant: (session: Session) => void,
): Cancel {
  holdAttach(link)
  const properties = link.properties as Readonly<Record<string, unknown>> | undefined
  const ms = Number(properties?.['com.microsoft:timeout'] ?? defaultTimeoutMs)
  let isWaiting = true
  const done = (): void => {
    isWaiting = false
    stopHearing()
    stopTimer()
  }
  const stopHearing = mailbox.onSessionReady(() => {
    const session = mailbox.nextSession()
    if (!session) return
    done()
    grant(session)
    reopen(link)
  })
  const stopTimer = system.after(ms, () => {
    done()
    reopen(link)
    refuse(link, 'com.microsoft:timeout', 'No session became available in time.')
  })
  return () => {
    if (!isWaiting) return
    done()
    // The client gave up: it waits for our side of the link to open and close.
    reopen(link)
    link.close()
  }
}

const reopen = (link: Sender): void => (link as unknown as { open(): void }).open()

/** The locked-until time goes as .NET ticks: 100 ns since the year 1. */
const toTicks = (ms: number): Buffer => {
  const ticks = Buffer.alloc(8)
  ticks.writeBigInt64BE(BigInt(ms) * 10_000n + 621_355_968_000_000_000n)
  return ticks
}

function answerGranted(link: Sender, session: Session): void {
  const { address } = link.source
  link.set_source({ address, filter: { [sessionFilter]: session.id } } as never)
  answerAttach(link, {
    target: link.target,
    snd_settle_mode: link.snd_settle_mode,
    rcv_settle_mode: link.rcv_settle_mode,
    properties: {
      'com.microsoft:locked-until-utc': long(toTicks(session.until)),
    },
  })
}

/** Closes a link with an error. On a link that is just opening, attach and detach go out together. */
export function refuse(
  link: { close(error: { condition: string; description: string }): void },
  condition: string,
  description: string,
): void {
  link.close({ condition, description })
}
