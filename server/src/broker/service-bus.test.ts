import { describe } from 'vitest'
import { startEmulator } from '../emulator/index.ts'
import { brokerContract, contractTopology } from './broker.contract.ts'
import { serviceBus } from './service-bus.ts'

describe('Service Bus on the emulator', () => {
  brokerContract(async () => {
    const lockMs = 400
    const emulator = await startEmulator({ config: contractTopology(lockMs) })
    const { connectionString } = emulator
    return {
      lockMs,
      connect: () => serviceBus({ connectionString }),
      close: () => emulator.close(),
    }
  })
})
