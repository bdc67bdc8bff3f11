/** The client of all three examples. Pages of one browser share its database, whatever they are made with. */
import { createClient } from '@tidemark/client'
import { item } from './events.ts'

/**
 * The gateway is where the page comes from: Vite hands `/sync` on to it. Hot reload runs this file again where
 * the events have changed; the client of before makes way.
 */
export const client = createClient({
  url: `ws://${location.host}/sync`,
  user: 'ada',
  models: { item },
})
