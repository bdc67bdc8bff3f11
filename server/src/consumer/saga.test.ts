import { expect, test } from 'vitest'
import { listAudits, listSagas, listSagaSteps, resumeSaga } from './park.ts'
import { refuse } from './policy.ts'
import type { MemoryTx } from './processed/memory.ts'
import type { Processed } from './processed/processed.ts'
import { type Saga, saga, step } from './saga.ts'
import { testConsumer } from './testing.ts'
import { type ConsumerLife, createWorld, inventory } from './testing/world.ts'

interface Order {
  readonly total: number
}

/** Other people's systems: each key works once, however often it is called. */
function createOutside() {
  const done: string[] = []
  const keys = new Map<string, string>()
  return {
    done,
    call(what: string, key: string) {
      const known = keys.get(key)
      if (known !== undefined && known !== what) throw new Error(`${key} was ${known}`)
      if (known === undefined) done.push(what)
      keys.set(key, what)
      return { receipt: `${what} ${keys.size}` }
    },
  }
}
type Outside = ReturnType<typeof createOutside>

/** Reserve, charge, place: the last one can fail for good. Each act also writes its name down in the app's data. */
function purchase(outside: Outside, options: Partial<Saga<Order, MemoryTx>> = {}, fails = false) {
  const note =
    (name: string) =>
    (_order: Order, { tx }: { readonly tx: MemoryTx }) => {
      tx.set('acts', [...((tx.get('acts') ?? []) as readonly string[]), name])
    }
  const act = (name: string) =>
    step<Order, MemoryTx, { receipt: string }>(name, {
      run: { perform: (_order, { key }) => outside.call(name, key), commit: note(name) },
      compensate: {
        perform: (_order, { key, result }) => {
          expect(result.receipt).toContain(name)
          outside.call(`undo ${name}`, key)
        },
        commit: note(`undo ${name}`),
      },
    })
  const place = step<Order, MemoryTx>('place', {
    run: {
      perform: (_order, { key }) => {
        if (fails) refuse('NO_SUPPLIER', 'Nobody sells it.')
        outside.call('place', key)
      },
      commit: note('place'),
    },
  })
  return saga<Order, MemoryTx>({
    name: 'purchase',
    steps: [act('reserve'), act('charge'), place],
    ended: (outcome, { total }, { tx, emit }) => {
      tx.set('ends', [...((tx.get('ends') ?? []) as readonly string[]), outcome])
      emit(inventory.stream(outcome).Counted({ n: total }))
    },
    ...options,
  })
}

const starting = (definition: Saga<Order, MemoryTx>) => ({
  name: 'orders',
  sagas: [definition],
  on: {
    Ordered: async (
      event: { readonly data: { readonly total: number } },
      { start }: { start: (saga: Saga<Order, MemoryTx>, input: Order) => Promise<string> },
    ) => void (await start(definition, { total: event.data.total })),
  },
})

const order = inventory.stream('order-1').Ordered({ total: 5 })

test('[C15] a saga runs its steps in order, and says that it is completed', async () => {
  const outside = createOutside()
  const orders = await testConsumer(inventory, starting(purchase(outside)))
  const id = '0198b4c6-0000-7000-8000-000000000001'
  await orders.deliver(order, { id, correlationId: 'conversation' })
  const told = await orders.pass(1_000)
  expect(outside.done).toEqual(['reserve', 'charge', 'place'])
  expect(orders.read('acts')).toEqual(['reserve', 'charge', 'place'])
  expect(told).toMatchObject([
    { type: 'Counted', stream: 'completed', causationId: id, correlationId: 'conversation' },
  ])
  expect(await orders.sagas()).toMatchObject([{ state: 'completed', input: { total: 5 } }])
  expect(await orders.redeliver()).toEqual([])
  await orders.pass(60_000)
  expect(orders.read('ends')).toEqual(['completed'])
})

test('[C15] where a step is refused, completed steps are undone in reverse order and no other', async () => {
  const outside = createOutside()
  const orders = await testConsumer(inventory, starting(purchase(outside, {}, true)))
  await orders.deliver(order)
  const told = await orders.pass(1_000)
  expect(outside.done).toEqual(['reserve', 'charge', 'undo charge', 'undo reserve'])
  expect(orders.read('acts')).toEqual(['reserve', 'charge', 'undo charge', 'undo reserve'])
  expect(told).toMatchObject([{ type: 'Counted', stream: 'compensated' }])
  expect(await orders.sagas()).toMatchObject([
    { state: 'compensated', code: 'NO_SUPPLIER', reason: 'Nobody sells it.' },
  ])
})

test('[C15] a step that fails for a while is tried again with the same key', async () => {
  const keys: string[] = []
  const flaky = saga<Order, MemoryTx>({
    name: 'flaky',
    steps: [
      step('call', {
        run: (_order, { key, attempt }) => {
          keys.push(key)
          if (attempt < 3) throw new Error('busy')
          return attempt
        },
      }),
    ],
  })
  const orders = await testConsumer(inventory, starting(flaky))
  await orders.deliver(order)
  await orders.pass(60_000)
  expect(keys).toHaveLength(3)
  expect(new Set(keys).size).toBe(1)
  expect(await orders.sagas()).toMatchObject([{ state: 'completed' }])
})

test('[C15] a step whose attempts are used up turns the saga, and is undone only where it says so', async () => {
  for (const compensatesUnsure of [false, true]) {
    const undone: string[] = []
    const unsure = saga<Order, MemoryTx>({
      name: 'unsure',
      attemptsMax: 2,
      steps: [
        step('first', { run: () => 'done', compensate: () => void undone.push('first') }),
        step('second', {
          run: () => {
            throw new Error('no answer')
          },
          compensate: () => void undone.push('second'),
          compensatesUnsure,
        }),
      ],
    })
    const orders = await testConsumer(inventory, starting(unsure))
    await orders.deliver(order)
    await orders.pass(60_000)
    expect(undone).toEqual(compensatesUnsure ? ['second', 'first'] : ['first'])
    expect(await orders.sagas()).toMatchObject([{ state: 'compensated', code: 'HANDLER_FAILED' }])
  }
})

test('[C15] a call that never answers is given up, and tried again', async () => {
  const attempts: number[] = []
  const slow = saga<Order, MemoryTx>({
    name: 'slow',
    stepMsMax: 1_000,
    steps: [
      step('call', {
        run: (_order, { attempt }) => {
          attempts.push(attempt)
          return attempt === 1 ? new Promise(() => {}) : 'done'
        },
      }),
    ],
  })
  const world = createWorld()
  const life = await world.start({ ...starting(slow), name: 'stock' })
  await world.publish(order)
  await world.clock.until(() => attempts.length === 2)
  await life.close()
  expect(await listSagas(world.reopen())).toMatchObject([{ state: 'completed' }])
})

test('[C16] a compensation that fails for good asks for a person, who can let it go on', async () => {
  let isMended = false
  const outside = createOutside()
  const stuck = saga<Order, MemoryTx>({
    name: 'stuck',
    compensationAttemptsMax: 2,
    steps: [
      step('first', { run: () => 'done', compensate: () => void outside.call('undo first', '1') }),
      step('second', {
        run: () => 'done',
        compensate: () => {
          if (!isMended) throw new Error('bank is closed')
          outside.call('undo second', '2')
        },
      }),
      step('third', { run: () => refuse('NO', 'No.') }),
    ],
    ended: (outcome, _order, { emit }) => void emit(inventory.stream(outcome).Counted({ n: 1 })),
  })
  const world = createWorld()
  const life = await world.start({ ...starting(stuck), name: 'stock' })
  await world.publish(order)
  await world.clock.until(async () => (await world.peek('results')).some(isAbout('needs-human')))
  await life.close()
  const processed = world.reopen()
  const [row] = await listSagas(processed, { state: 'needs-human' })
  expect(row).toMatchObject({ code: 'HANDLER_FAILED', reason: 'bank is closed', step: 1 })
  expect(outside.done).toEqual([])
  isMended = true
  const act = { by: 'ann', now: world.clock.now() }
  expect(await resumeSaga(processed, 'stock', row?.id ?? '', act)).toBe(true)
  expect(await resumeSaga(processed, 'stock', row?.id ?? '', act)).toBe(false)
  expect(await listAudits(processed, 'stock')).toMatchObject([{ action: 'resume', by: 'ann' }])
  const again = await world.start({ ...starting(stuck), name: 'stock' })
  await world.clock.until(() => outside.done.length === 2)
  await again.close()
  expect(outside.done).toEqual(['undo second', 'undo first'])
  expect(await listSagas(world.reopen())).toMatchObject([{ state: 'compensated' }])
})

test.each([1, 3])(
  '[C16] a compensation of a step that may have happened is tried again too, with %i steps before it',
  async (before) => {
    let isMended = false
    const undone: string[] = []
    const done = Array.from({ length: before }, (_, at) => `${at}`)
    const unsure = saga<Order, MemoryTx>({
      name: 'unsure',
      attemptsMax: 1,
      compensationAttemptsMax: 1,
      steps: [
        ...done.map((name) =>
          step<Order, MemoryTx>(name, { run: () => 1, compensate: () => void undone.push(name) }),
        ),
        step('pay', {
          run: () => {
            throw new Error('no answer')
          },
          compensate: () => {
            if (!isMended) throw new Error('bank is closed')
            undone.push('pay')
          },
          compensatesUnsure: true,
        }),
      ],
    })
    const world = createWorld()
    const life = await world.start({ ...starting(unsure), name: 'stock' })
    const stands = async () => (await listSagas(world.reopen()))[0]
    await world.publish(order)
    await world.clock.pass(60_000)
    await life.close()
    const row = await stands()
    expect(row).toMatchObject({ state: 'needs-human', step: before })
    isMended = true
    const act = { by: 'ann', now: world.clock.now() }
    expect(await resumeSaga(world.reopen(), 'stock', row?.id ?? '', act)).toBe(true)
    const again = await world.start({ ...starting(unsure), name: 'stock' })
    await world.clock.pass(60_000)
    await again.close()
    expect(undone).toEqual(['pay', ...done.toReversed()])
    expect(await stands()).toMatchObject({ state: 'compensated' })
  },
)

test('[C16] a saga that is undone and could not say so is not undone again', async () => {
  const world = createWorld()
  const calls: string[] = []
  const speechless = saga<Order, MemoryTx>({
    name: 'speechless',
    steps: [
      step('only', { run: () => refuse('NO', 'No.'), compensate: () => void calls.push('undo') }),
    ],
    ended: () => {
      throw new Error('out of words')
    },
  })
  const life = await world.start({ ...starting(speechless), name: 'stock' })
  await world.publish(order)
  await world.clock.pass(60_000)
  await life.close()
  const processed = world.reopen()
  const [row] = await listSagas(processed, { state: 'needs-human' })
  const act = { by: 'ann', now: world.clock.now() }
  expect(await resumeSaga(processed, 'stock', row?.id ?? '', act)).toBe(true)
  expect(await listSagas(processed)).toMatchObject([{ state: 'compensated' }])
  expect(calls).toEqual([])
})

const isAbout =
  (stream: string) =>
  ({ text, type }: { text: string; type?: unknown }) =>
    type === 'Counted' && text !== '' && stream !== ''

test('a saga whose definition lost a step asks for a person instead of stopping the others', async () => {
  const three = purchase(createOutside())
  const world = createWorld()
  const processed = world.reopen()
  await processed.transaction(async ({ sagas }) => {
    const cause = { id: 'e', topic: 'inventory', scope: 's', stream: 'x', correlationId: 'e' }
    const row = { name: 'purchase', input: { total: 1 }, cause, state: 'running' } as const
    const rest = { attempts: 0, term: 0, dueAt: 0, startedAt: 0, changedAt: 0 }
    await sagas.start({ id: 'lost', step: 7, ...row, ...rest })
    await sagas.start({ id: 'fine', step: 2, ...row, ...rest, dueAt: 1 })
  })
  const life = await world.start({ ...starting(three), name: 'stock' })
  const states = async () => (await listSagas(world.reopen())).map(({ id, state }) => [id, state])
  await world.clock.until(() => world.read('ends') !== undefined)
  await life.close()
  expect(await states()).toEqual([
    ['lost', 'needs-human'],
    ['fine', 'completed'],
  ])
  // What a person lets it go on with is the last step that happened.
  expect(await listSagas(world.reopen(), { state: 'needs-human' })).toMatchObject([{ step: 6 }])
})

/** Runs one order in a world whose process dies at its `killAt`th point, and starts it again. */
async function runWithDeath(fails: boolean, killAt: number) {
  const world = createWorld()
  const outside = createOutside()
  let points = 0
  let life: ConsumerLife | undefined
  /** A place where a process may die: from here on it has no effect any more. */
  const point = (): boolean => {
    points += 1
    if (points === killAt) life?.kill()
    return points === killAt
  }
  const mortalOutside: Outside = {
    done: outside.done,
    call(what, key) {
      if (point()) return new Promise(() => {}) as never
      const result = outside.call(what, key)
      return point() ? (new Promise(() => {}) as never) : result
    },
  }
  const begin = async (): Promise<ConsumerLife> => {
    const inner = world.reopen()
    const processed: Processed<MemoryTx> = {
      ...inner,
      async transaction(work) {
        let wrote = false
        const value = await inner.transaction(async (unit) => {
          const before = world.disk.marks().join()
          const made = await work(unit)
          wrote = world.disk.marks().join() !== before
          return made
        })
        if (wrote) point()
        return value
      },
    }
    const definition = purchase(mortalOutside, { stepMsMax: 1_000 }, fails)
    return world.start({ ...starting(definition), name: 'stock', processed })
  }
  life = await begin()
  await world.publish(order)
  const isOver = () => world.read('ends') !== undefined
  await world.clock.until(() => isOver() || points >= killAt)
  if (points >= killAt && killAt > 0) life = await begin()
  await world.clock.until(async () => isOver() && (await world.peek('results')).length >= 2)
  await world.clock.pass(120_000)
  await life.close()
  const [row] = await listSagas(world.reopen())
  const steps = await listSagaSteps(world.reopen(), row?.id ?? '')
  const results = (await world.peek('results')).filter(({ type }) => type === 'Counted')
  const ids = new Set(results.map(({ id }) => id))
  return { points, state: row?.state, steps, done: outside.done, world, results: ids.size }
}

test(
  '[C15] wherever the process dies, every act happens once and in order',
  { timeout: 60_000 },
  async () => {
    for (const fails of [false, true]) {
      const acts = fails
        ? ['reserve', 'charge', 'undo charge', 'undo reserve']
        : ['reserve', 'charge', 'place']
      const calm = await runWithDeath(fails, 0)
      expect(calm.points).toBeGreaterThan(12)
      for (let killAt = 1; killAt <= calm.points; killAt += 1) {
        const { state, done, world, results, steps } = await runWithDeath(fails, killAt)
        const where = `killed at ${killAt} of ${calm.points}`
        expect(state, where).toBe(fails ? 'compensated' : 'completed')
        expect(done, where).toEqual(acts)
        expect(world.read('acts'), where).toEqual(acts)
        expect(world.read('ends'), where).toHaveLength(1)
        expect(results, where).toBe(1)
        expect(steps.map((one) => one.state)).toEqual(
          fails ? ['compensated', 'compensated'] : ['completed', 'completed', 'completed'],
        )
      }
    }
  },
)
