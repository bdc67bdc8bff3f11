import { logContract } from './log.contract.ts'
import { memoryLog } from './memory.ts'

logContract((system) => memoryLog({ system }))
