import { memoryProcessed, MemoryDisk } from './memory.ts'
import { processedContract } from './processed.contract.ts'

processedContract('memory', async () => {
  const disk = new MemoryDisk()
  return {
    processed: memoryProcessed(disk),
    reopen: async () => memoryProcessed(disk),
    write: async (tx, name) => {
      if (tx.get(name) !== undefined) throw new Error('written twice')
      tx.set(name, true)
    },
    effects: async () => [...disk.data.entries()].map(([name]) => name).sort(),
  }
})
