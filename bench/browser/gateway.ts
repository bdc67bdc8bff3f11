/** A gateway in the page: it has a log to deliver, and nothing else. */
import {
  type Connect,
  defaultLimits,
  type FrameOf,
  parseClientFrame,
  type Position,
  type SocketHandlers,
  system,
  writeFrame,
} from '@tidemark/shared'
import { v7 } from 'uuid'
import { log } from '../inventory.ts'
import { epoch } from './entries.ts'

/**
 * A gateway that has these frames to deliver. It keeps to what the client has applied, as a real one does,
 * and each frame comes in a task of its own, as from a real socket.
 */
export function scriptedGateway(
  frames: readonly string[],
  heard: { onHello?(): void; onApplied(upTo: number): void },
): Connect {
  return (_url, handlers) => {
    let next = 0
    let unapplied = 0
    let sending = false
    const sizes = new Map<number, number>()
    const send = async (): Promise<void> => {
      if (sending) return
      sending = true
      while (next < frames.length && unapplied < defaultLimits.unappliedBytesMax) {
        await system.breathe()
        const frame = frames[next] ?? ''
        next += 1
        unapplied += frame.length
        sizes.set(readUpTo(frame), frame.length)
        handlers.onMessage(frame)
      }
      sending = false
    }
    const onApply = ({ upTo }: FrameOf<'applied'>): void => {
      for (const [position, size] of sizes) {
        if (position > upTo) break
        unapplied -= size
        sizes.delete(position)
      }
      heard.onApplied(upTo)
      void send()
    }
    void system.breathe().then(() => handlers.onOpen())
    return {
      send(message) {
        const frame = parseClientFrame(message as string)
        if (frame.type === 'hello') {
          greet(handlers, readUpTo(frames.at(-1) ?? ''))
          heard.onHello?.()
          void send()
        }
        if (frame.type === 'applied') onApply(frame)
      },
      close: () => handlers.onClose(1000, ''),
    }
  }
}

const readUpTo = (frame: string): number =>
  (JSON.parse(frame.slice(0, frame.indexOf('\n'))) as FrameOf<'deliver'>).upTo

function greet(handlers: SocketHandlers, head: number): void {
  const author = 'u-42'
  const session = v7()
  handlers.onMessage(
    writeFrame({ type: 'welcome', protocol: 1, session, author, limits: defaultLimits }),
  )
  handlers.onMessage(writeFrame({ type: 'subscribed', ...log, epoch, head: head as Position }))
}
