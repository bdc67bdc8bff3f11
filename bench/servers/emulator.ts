/** The broker of the rows that need one: the Service Bus emulator, whose days are good and bad as it is told. */
import { type Emulator, startEmulator, type Topology } from '@tidemark/server/emulator'
import { announce } from '../process.ts'

/** How long a slow broker takes for an answer, in ms. */
const slowMs = 1_000

const config = JSON.parse(process.argv[2] ?? '{}') as Topology
let emulator: Emulator | undefined = await startEmulator({ config })
const { port } = emulator

async function becomeWell(): Promise<Emulator> {
  emulator ??= await startEmulator({ config, port })
  await emulator.faults.clear()
  return emulator
}

async function goDown(): Promise<void> {
  await emulator?.close()
  emulator = undefined
}

announce(port, goDown, {
  well: async () => void (await becomeWell()),
  down: goDown,
  slow: async () => (await becomeWell()).faults.delaySends('*', slowMs, Infinity),
  throttling: async () =>
    (await becomeWell()).faults.refuseSends('*', 'com.microsoft:server-busy', Infinity),
})
