/** The client of all three examples. Pages of one browser share its database, whatever they are made with. */
import { createClient } from '@tidemark/client'
import { item } from './events.ts'

// Vite's hot reload runs this file again where the events have changed: the client of before makes way.
const hot = import.meta.hot?.data
void hot?.['client']?.close()

/** The gateway is where the page comes from: Vite hands `/sync` on to it. */
export const client = createClient({
  url: `ws://${location.host}/sync`,
  user: 'ada',
  models: { item },
})
if (hot) hot['client'] = client
