/**
 * Another team's service: the production consumer kit with handlers as people write them. Some fail now
 * and then, some always until they are mended, some hang, some kill their process; some answer, and some
 * start a saga whose steps happen at a supplier.
 */
import type { Broker } from '@tidemark/server/broker/broker'
import { consume, type Context, refuse, saga, step } from '@tidemark/server/consumer'
import type { MemoryTx } from '@tidemark/server/consumer/processed/memory'
import type { CallContext, CommitContext } from '@tidemark/server/consumer/saga'
import type { DomainEvent } from '@tidemark/shared'
import { serviceSubscription } from './broker.ts'
import type { History } from './history.ts'
import type { Random } from './random.ts'
import { attemptsMax } from './options.ts'
import { remark, type ServiceDisk } from './service-disk.ts'
import { type Amount, inventory, isAnswered } from './topics.ts'
import type { Life } from './world.ts'

/** The consumer's name, and the author of what it answers. */
export const serviceName = 'orders'
const handlerMsMax = 2_000

/** What a process of the service is given. */
export interface ServicePorts {
  readonly life: Life
  readonly broker: Broker
  readonly disk: ServiceDisk
  readonly history: History
  readonly random: Random
  readonly ordered: boolean
  /** True once somebody has mended what always failed. */
  isMended(): boolean
  /** Ends this process as a crash does. */
  kill(): void
}

/** What goes wrong with an event, by its tag: the same at every attempt. */
const faultOf = ({ tag }: Amount): 'poison' | 'refused' | 'hangs' | 'deadly' | undefined => {
  if (tag % 17 === 3) return 'poison'
  if (tag % 19 === 5) return 'refused'
  if (tag % 31 === 11) return 'hangs'
  return tag % 37 === 7 ? 'deadly' : undefined
}

const never = () => new Promise<never>(() => {})

/** Runs the service until its life ends. */
export async function runService(ports: ServicePorts): Promise<void> {
  const { life, broker, disk, ordered } = ports
  const restock = createSaga(ports)
  const handle = (event: DomainEvent<string, Amount>, context: Context<MemoryTx>) =>
    handleEvent(ports, restock, event, context)
  for (;;) {
    try {
      await consume(inventory, {
        name: serviceName,
        subscription: serviceSubscription,
        broker,
        processed: disk.processedFor(life),
        system: life.system,
        ordered,
        concurrency: 4,
        batchEventsMax: 8,
        attemptsMax,
        handlerMsMax,
        retry: { firstMs: 100, maxMs: 3_000 },
        sagas: [restock],
        on: { Received: handle, Picked: handle, Reordered: handle },
      })
      return
    } catch {
      await life.pause(1_000)
    }
  }
}

async function handleEvent(
  ports: ServicePorts,
  restock: Restock,
  { id, stream, type, data }: DomainEvent<string, Amount>,
  { tx, emit, start }: Context<MemoryTx>,
): Promise<void> {
  const { life, history, random } = ports
  history.note(`${life.name} tries ${id}`)
  history.state({ type: 'tried', id })
  if (random.chance(0.3)) await life.pause(random.exponential(20))
  remark(tx, { type: 'effect', id, key: stream })
  if (!ports.isMended()) await fail(ports, data)
  if (isAnswered(type, data)) {
    const answer = { tag: -data.tag, quantity: data.quantity + 1, note: '' }
    emit(inventory.stream(stream).Reordered(answer))
  }
  if (type === 'Picked' && data.quantity % 4 === 1) await start(restock, { id, stream, data })
}

async function fail({ random, kill }: ServicePorts, data: Amount): Promise<void> {
  switch (faultOf(data)) {
    case 'poison':
      throw new Error('nobody thought of this')
    case 'refused':
      return refuse('NO_STOCK', 'There is none left.')
    case 'hangs':
      return never()
    case 'deadly':
      kill()
      return never()
    case undefined:
      if (random.chance(0.08)) throw new Error('just now it does not work')
  }
}

interface Order {
  readonly id: string
  readonly stream: string
  readonly data: Amount
}

type Restock = ReturnType<typeof createSaga>

function createSaga(ports: ServicePorts) {
  const { life, history, random } = ports
  /** A call at the supplier, who may have done it and say that it failed. */
  const call = async (
    act: 'run' | 'compensate',
    step: number,
    { id, data }: Order,
    { key }: CallContext,
  ): Promise<void> => {
    await life.pause(random.exponential(50))
    if (act === 'run' && step === 2 && data.tag % 3 === 0) refuse('SOLD_OUT', 'It is sold out.')
    if (random.chance(0.1)) throw new Error('the supplier does not answer')
    history.note(`the supplier does ${act} ${step} of ${id}`)
    history.state({ type: 'called', saga: id, act, step, key })
    if (random.chance(0.15)) throw new Error('the supplier’s answer is lost')
    await life.pause(random.exponential(50))
  }
  const act = (what: 'run' | 'compensate', at: number) => ({
    perform: (input: Order, context: CallContext) => call(what, at, input, context),
    commit: ({ id }: Order, { tx }: CommitContext<MemoryTx>) =>
      remark(tx, { type: 'moved', saga: id, act: what, step: at }),
  })
  const steps = ['reserve', 'pay', 'ship'].map((name, at) =>
    step<Order, MemoryTx, void>(name, {
      run: act('run', at),
      compensate: act('compensate', at),
      compensatesUnsure: at === 1,
    }),
  )
  return saga<Order, MemoryTx>({
    name: 'restock',
    steps,
    stepMsMax: 3_000,
    attemptsMax: 3,
    compensationAttemptsMax: 100,
    retry: { firstMs: 100, maxMs: 2_000 },
    ended(outcome, { id, stream, data }, { tx, emit }) {
      remark(tx, { type: 'ended', saga: id, outcome })
      emit(inventory.stream(stream).Ended({ tag: data.tag, quantity: 0, note: outcome }))
    },
  })
}
