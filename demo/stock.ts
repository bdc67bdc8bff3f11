/** A stock list to import, and the import: each item is one batch, so half an item never arrives. */
import { readFile } from 'node:fs/promises'
import { createClient, memoryStore } from '@tidemark/client'
import { assert } from '@tidemark/shared'
import { scope } from './app/devices.ts'
import { inventory, item } from './events.ts'

/** A row of a stock list. */
export interface StockRow {
  readonly sku: string
  readonly name: string
  readonly location: string
  readonly reorderLevel: number
  readonly onHand: number
}

const columns = ['sku', 'name', 'location', 'reorderLevel', 'onHand'] as const

/** The cells of a line of CSV; a quoted cell may hold commas and doubled quotes. */
const splitLine = (line: string): string[] =>
  [...line.matchAll(/(?:^|,)(?:"((?:[^"]|"")*)"|([^,]*))/g)].map(
    ([, quoted, plain = '']) => quoted?.replaceAll('""', '"') ?? plain,
  )

const parseCount = (text: string, where: string): number => {
  const value = Number(text)
  if (text === '' || !Number.isSafeInteger(value) || value < 0) {
    throw new Error(`${where}: "${text}" is not a whole number`)
  }
  return value
}

/** Reads a stock list. Throws an error that names the line where something is wrong with it. */
export function parseStock(csv: string): readonly StockRow[] {
  const [head = '', ...lines] = csv
    .replace(/^\uFEFF/, '')
    .trim()
    .split(/\r?\n/)
  const names = splitLine(head)
  const missing = columns.filter((column) => !names.includes(column))
  if (missing.length > 0) throw new Error(`line 1: no column ${missing.join(', ')}`)
  return lines.map((line, index) => {
    const where = `line ${index + 2}`
    const cells = splitLine(line)
    const cell = (name: string) => cells[names.indexOf(name)] ?? ''
    if (!cell('sku') || !cell('name')) throw new Error(`${where}: no sku or no name`)
    return {
      sku: cell('sku'),
      name: cell('name'),
      location: cell('location'),
      reorderLevel: parseCount(cell('reorderLevel'), `${where}, reorderLevel`),
      onHand: parseCount(cell('onHand'), `${where}, onHand`),
    }
  })
}

/** How far an import is. */
export interface ImportProgress {
  readonly done: number
  readonly total: number
}

/** What an import came to. */
export interface ImportResult {
  readonly imported: number
  /** Items that were there already; an import can be repeated. */
  readonly known: number
}

/** Appends every item of `file` that the gateway at `url` does not have yet, and waits until it has them. */
export async function importStock(
  file: string,
  url: string,
  onProgress: (progress: ImportProgress) => void,
): Promise<ImportResult> {
  const rows = parseStock(await readFile(file, 'utf8'))
  const client = createClient({
    url,
    user: 'stocktaker',
    scope,
    token: () => 'stocktaker',
    models: { item },
    store: memoryStore(),
  })
  try {
    await until(client.status, ({ logs }) => logs[inventory.name]?.caughtUp === true)
    const fresh = rows.filter(({ sku }) => client.model.item(sku).get() === undefined)
    let done = 0
    await Promise.all(
      fresh.map(async (row) => {
        const { settled } = await client.append(writeBatch(row))
        const verdict = await settled
        assert(verdict.type === 'accepted', `the gateway accepts ${row.sku}`)
        onProgress({ done: ++done, total: fresh.length })
      }),
    )
    return { imported: fresh.length, known: rows.length - fresh.length }
  } finally {
    await client.close()
  }
}

function writeBatch({ sku, name, location, reorderLevel, onHand }: StockRow) {
  const stream = inventory.stream(sku)
  return [
    stream.ItemAdded({ name, reorderLevel, location }),
    stream.StockCounted({ quantity: onHand }),
  ]
}

/** Resolves once the value of something live is as wanted. */
function until<Value>(
  live: { getSnapshot(): Value; subscribe(changed: () => void): () => void },
  wanted: (value: Value) => boolean,
): Promise<void> {
  return new Promise((resolve) => {
    const look = () => {
      if (!wanted(live.getSnapshot())) return
      stop()
      resolve()
    }
    const stop = live.subscribe(look)
    look()
  })
}
