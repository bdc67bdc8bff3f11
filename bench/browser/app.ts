/** What every app takes from the client: the smallest bundle that is of any use. */
export { createClient, model, topic } from '@tidemark/client'
