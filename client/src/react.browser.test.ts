import { model, topic } from '@tidemark/shared'
import { createElement as h, startTransition, StrictMode, useState } from 'react'
import { flushSync } from 'react-dom'
import { createRoot, hydrateRoot } from 'react-dom/client'
import { renderToString } from 'react-dom/server'
import { afterEach, expect, test, vi } from 'vitest'
import * as z from 'zod'
import { createClient } from './client.ts'
import { useLive, useModel, useRefused, useStatus } from './react.ts'
import { createDisk, memoryStore } from './store/memory.ts'

const stock = topic('stock', { Received: z.object({ quantity: z.int() }) })
const item = model(stock, {
  version: 1,
  initial: { onHand: 0 },
  on: { Received: (state, { data }) => ({ onHand: state.onHand + data.quantity }) },
})

const open = () =>
  createClient({
    url: 'ws://localhost:1/sync',
    user: 'ada',
    models: { item },
    store: memoryStore(createDisk()),
  })
type Client = ReturnType<typeof open>

const receive = (client: Client, sku: string, quantity: number) =>
  client.append(stock.stream(sku).Received({ quantity }))

const cleanups: (() => unknown)[] = []
const defer = <T>(value: T, cleanup: () => unknown): T => {
  cleanups.push(cleanup)
  return value
}
afterEach(async () => {
  for (const cleanup of cleanups.splice(0).toReversed()) await cleanup()
})

const openClient = () => {
  const client = open()
  return defer(client, () => client.close())
}
const mount = (node: React.ReactNode) => {
  const container = document.body.appendChild(document.createElement('div'))
  const root = createRoot(container)
  flushSync(() => root.render(node))
  return defer(container, () => {
    root.unmount()
    container.remove()
  })
}

test('[F1] changing one of 10,000 keys renders one mounted row again', async () => {
  const client = openClient()
  const skus = Array.from({ length: 10_000 }, (_, index) => `sku-${index}`)
  await Promise.all(skus.map((sku) => receive(client, sku, 1)))
  const renders = new Map<string, number>()
  const Row = ({ sku }: { readonly sku: string }) => {
    const onHand = useModel(client.model.item(sku), ({ state }) => state?.onHand)
    renders.set(sku, (renders.get(sku) ?? 0) + 1)
    return h('li', null, `${sku}: ${onHand}`)
  }
  const container = mount(skus.slice(0, 100).map((sku) => h(Row, { key: sku, sku })))
  await vi.waitFor(() => expect(container.textContent).toContain('sku-99: 1'))
  renders.clear()

  await receive(client, 'sku-7', 5)

  await vi.waitFor(() => expect(container.textContent).toContain('sku-7: 6'))
  expect([...renders]).toEqual([['sku-7', 1]])
  await receive(client, 'sku-9999', 5)
  expect([...renders]).toEqual([['sku-7', 1]])
})

test('[F1] a selector that makes a new object each time renders only when it differs', async () => {
  const client = openClient()
  await receive(client, 'sku-1', 1)
  let renders = 0
  const Total = () => {
    const { parity } = useModel(
      client.model.item('sku-1'),
      ({ state }) => ({ parity: (state?.onHand ?? 0) % 2 }),
      (a, b) => a.parity === b.parity,
    )
    renders += 1
    return h('p', null, `parity ${parity}`)
  }
  const container = mount(h(Total))
  await vi.waitFor(() => expect(container.textContent).toBe('parity 1'))
  renders = 0
  await receive(client, 'sku-1', 2)
  expect(renders).toBe(0)
  await receive(client, 'sku-1', 1)
  await vi.waitFor(() => expect(container.textContent).toBe('parity 0'))
  expect(renders).toBe(1)
})

test('[F2] in StrictMode nothing is subscribed twice or left behind', async () => {
  const client = openClient()
  const sku = client.model.item('sku-1')
  let listening = 0
  const counted = {
    ...sku,
    subscribe(changed: () => void) {
      listening += 1
      const stop = sku.subscribe(changed)
      return () => {
        listening -= 1
        stop()
      }
    },
  }
  const Shown = () => h('p', null, useLive(counted).status)
  const container = document.body.appendChild(document.createElement('div'))
  const root = createRoot(container)
  flushSync(() => root.render(h(StrictMode, null, h(Shown))))
  expect(listening).toBe(1)
  root.unmount()
  container.remove()
  expect(listening).toBe(0)
})

test('[F2] more lists than are remembered, asked for where they are rendered, are rendered once for each change', async () => {
  const client = openClient()
  await receive(client, 'sku-1', 1)
  const complaints: unknown[] = []
  const spy = vi.spyOn(console, 'error').mockImplementation((...args) => complaints.push(args))
  const renders = new Map<number, number>()
  const Row = ({ limit }: { readonly limit: number }) => {
    const { items } = useModel(client.model.item.list({ limit }))
    const absent = useModel(client.model.item(`none-${limit}`), ({ status }) => status)
    renders.set(limit, (renders.get(limit) ?? 0) + 1)
    return h('li', null, `${absent} ${items[0]?.state.onHand}`)
  }
  const limits = Array.from({ length: 200 }, (_, index) => index + 1)
  const rows = limits.map((limit) => h(Row, { key: limit, limit }))
  let show: (isShown: boolean) => void = () => undefined
  const App = () => {
    const [isShown, setShown] = useState(true)
    show = setShown
    return isShown ? rows : null
  }
  const container = mount(h(StrictMode, null, h(App)))
  const shows = (text: string) =>
    vi.waitFor(() => expect(container.textContent).toBe(text.repeat(200)))
  await shows('absent 1')
  renders.clear()

  await receive(client, 'sku-1', 5)

  await shows('absent 6')
  // StrictMode renders each of them twice.
  expect(new Set(renders.values())).toEqual(new Set([2]))
  flushSync(() => show(false))
  await receive(client, 'sku-1', 1)
  flushSync(() => show(true))
  await shows('absent 7')
  expect(complaints).toEqual([])
  spy.mockRestore()
})

test('[F2] under startTransition all rows of one frame show the same moment', async () => {
  const client = openClient()
  await receive(client, 'sku-1', 1)
  const torn: string[] = []
  const spin = () => {
    const until = performance.now() + 3
    while (performance.now() < until);
  }
  const Row = () => {
    const onHand = useModel(client.model.item('sku-1'), ({ state }) => state?.onHand)
    spin()
    return h('li', { className: 'row' }, String(onHand))
  }
  let show: (rows: number) => void = () => undefined
  const List = () => {
    const [rows, setRows] = useState(0)
    show = setRows
    return Array.from({ length: rows }, (_, index) => h(Row, { key: index }))
  }
  const container = mount(h(List))
  const observer = new MutationObserver(() => {
    const shown = new Set([...container.querySelectorAll('.row')].map((row) => row.textContent))
    if (shown.size > 1) torn.push([...shown].join())
  })
  observer.observe(container, { childList: true, subtree: true, characterData: true })
  startTransition(() => show(40))
  for (let round = 0; round < 5; round += 1) await receive(client, 'sku-1', 1)
  await vi.waitFor(() => expect(container.querySelectorAll('.row')).toHaveLength(40))
  await vi.waitFor(() => expect(container.textContent).toBe('6'.repeat(40)))
  observer.disconnect()
  expect(torn).toEqual([])
})

test('[F3] what a server rendered is hydrated without a warning, and then shows what is there', async () => {
  const client = openClient()
  await receive(client, 'sku-1', 3)
  const App = () => {
    const { status, state } = useModel(client.model.item('sku-1'))
    const { status: listed } = useModel(client.model.item.list())
    const link = useStatus(client, (value) => value.link)
    const refused = useRefused(client)
    return h('p', null, `${status} ${state?.onHand} ${listed} ${link} ${refused.length}`)
  }
  const html = renderToString(h(App))
  expect(html).toContain('loading undefined loading inert 0')
  const container = document.body.appendChild(document.createElement('div'))
  container.innerHTML = html
  const complaints: unknown[] = []
  const spy = vi.spyOn(console, 'error').mockImplementation((...args) => complaints.push(args))
  const root = hydrateRoot(container, h(App), { onRecoverableError: (e) => complaints.push(e) })
  await vi.waitFor(() => expect(container.textContent).toMatch(/^present 3 ready \w+ 0$/))
  expect(complaints).toEqual([])
  spy.mockRestore()
  root.unmount()
  container.remove()
})
