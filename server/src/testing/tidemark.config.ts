/** The configuration of the gateway process that the tests start and kill. */
import { defineConfig } from '../index.ts'
import { inventory } from './client.ts'

/** Serves this machine, with the topic of the tests. */
export const config = defineConfig({ topics: [inventory] })
