/** What every app takes from the client: the smallest bundle that is of any use. */
export { createClient } from '@tidemark/client'
export { model, topic } from '@tidemark/shared'
