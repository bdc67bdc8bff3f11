import { expect, test } from 'vitest'
import { takeOver } from './take-over.ts'

/** Makes what stands for a client, and writes its name down when it is closed. */
function createClients(database: string) {
  const closed: string[] = []
  const make = (name: string, of = database): AbortController => {
    const life = new AbortController()
    const close = (): void => {
      closed.push(name)
      life.abort()
    }
    takeOver(of, close, life.signal)
    return life
  }
  return { closed, make }
}

const turn = () => Promise.resolve()

test('[Y6] a client closes the one that its page has of the same database, and no other', async () => {
  const { closed, make } = createClients('edited')
  make('first')
  make('of another database', 'another')
  await turn()
  make('second')
  await turn()
  expect(closed).toEqual(['first'])
  make('third')
  expect(closed).toEqual(['first', 'second'])
})

test('two that are made in one go, as in strict mode, live on, until a later one closes both', async () => {
  const { closed, make } = createClients('strict')
  make('kept')
  make('thrown away')
  await turn()
  await turn()
  expect(closed).toEqual([])
  make('edited')
  expect(closed).toEqual(['kept', 'thrown away'])
})

test('one that was closed already is not closed again', async () => {
  const { closed, make } = createClients('closed')
  const life = make('first')
  await turn()
  life.abort()
  make('second').abort()
  await turn()
  make('third')
  expect(closed).toEqual([])
})
