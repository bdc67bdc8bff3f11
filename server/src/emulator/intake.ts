/** Takes what clients send to a queue or topic: one outcome for each transfer, whole or not at all. */
import { assert } from '@tidemark/shared'
import type { EventContext, Receiver } from 'rhea'
import type { Envelope } from './core/message.ts'
import type { LinkWorld } from './link-world.ts'
import { answerAttach, batchFormat, type Delivery } from './rhea.ts'
import { openBatch, openMessage } from './wire-message.ts'

/** Takes the messages of one link. */
export function openIntake(link: Receiver, path: string, world: LinkWorld): void {
  const { system, namespace, outcomes } = world
  answerAttach(link, {
    source: link.source,
    target: link.target,
    snd_settle_mode: 0,
    max_message_size: namespace.messageBytesMax,
  })
  const newId = () => system.uuid().replaceAll('-', '')
  link.on('message', (context: EventContext) => {
    const { delivery: given, format, message } = context as unknown as Transferred
    const answer = (run: () => void) => {
      const ms = namespace.faults.takeSendDelay(path)
      if (ms === 0) run()
      else if (ms < Infinity) system.after(ms, run)
    }
    const refused = take(message, format)
    if (refused) answer(() => outcomes.reject(given, refused))
    else answer(() => outcomes.accept(given))
  })

  function take(bytes: Buffer, format: number) {
    if (bytes.length > namespace.messageBytesMax) {
      return {
        condition: 'amqp:link:message-size-exceeded',
        description: `The received message (delivery-id:0, size:${bytes.length} bytes) exceeds the limit (${namespace.messageBytesMax} bytes) currently allowed on the link.`,
      }
    }
    let envelopes: readonly Envelope[]
    try {
      const encoded = format === batchFormat ? openBatch(bytes) : [bytes]
      envelopes = encoded.map((one) => openMessage(one, newId))
    } catch (error) {
      assert(error instanceof RangeError || error instanceof TypeError, String(error))
      return { condition: 'amqp:decode-error', description: 'The message cannot be decoded.' }
    }
    return namespace.send(path, envelopes)
  }
}

interface Transferred {
  readonly delivery: Delivery
  readonly format: number
  readonly message: Buffer
}
