/** Tidemark's side of the rows about append. */
import { v7 } from 'uuid'
import { inventory, makeData, makeStream } from '../inventory.ts'
import { deleteDatabases, offline, openPlain } from './device.ts'

/** Appends `count` events at once, and says how many a second. */
export const appendConcurrent = (count: number): Promise<number> =>
  measureAppends(count, async (client) => {
    await Promise.all(Array.from({ length: count }, (_, n) => client.append(makeDraft(n))))
  })

/** Appends `count` events, in batches of `size`, each when the one before it is stored, and says how many a second. */
export const appendInTurn = (count: number, size: number): Promise<number> =>
  measureAppends(count, async (client) => {
    for (let first = 0; first < count; first += size) {
      await client.append(Array.from({ length: size }, (_, at) => makeDraft(first + at)))
    }
  })

const makeDraft = (n: number) => inventory.stream(makeStream(n)).StockPicked(makeData(n))

/** A device without a network: everything stays pending. */
async function measureAppends(
  count: number,
  append: (client: ReturnType<typeof openPlain>) => Promise<void>,
): Promise<number> {
  const client = openPlain(v7(), offline)
  // The first append opens the database, which is not what is measured.
  await client.append(makeDraft(0))
  const start = performance.now()
  await append(client)
  const ms = performance.now() - start
  const { pending } = client.status.getSnapshot()
  if (pending !== count + 1) throw new Error(`appended ${count + 1}, pending ${pending}`)
  await client.close()
  await deleteDatabases()
  return (count / ms) * 1_000
}
