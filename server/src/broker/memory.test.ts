import { system } from '@tidemark/shared'
import { describe } from 'vitest'
import { brokerContract, contractTopology } from './broker.contract.ts'
import { createMemoryBroker, createNamespace } from './memory.ts'

describe('the memory broker', () => {
  brokerContract(async () => {
    const lockMs = 200
    const namespace = createNamespace(system, contractTopology(lockMs))
    return {
      lockMs,
      connect: () => createMemoryBroker({ system, namespace }),
      expireLocks: async () => namespace.faults.expireLocks('*'),
      close: async () => namespace.close(),
    }
  })
})
