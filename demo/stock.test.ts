import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { expect, test } from 'vitest'
import { parseStock } from './stock.ts'

const head = 'sku,name,location,reorderLevel,onHand'

test('the stock list that comes along has over a thousand items, each once', () => {
  const rows = parseStock(readFileSync(join(import.meta.dirname, 'items.csv'), 'utf8'))
  expect(rows.length).toBeGreaterThan(1_000)
  expect(new Set(rows.map(({ sku }) => sku)).size).toBe(rows.length)
  expect(new Set(rows.map(({ name }) => name)).size).toBe(rows.length)
})

test('columns may come in any order, cells may be quoted, lines may end as on Windows', () => {
  const csv = '\uFEFFname,onHand,sku,reorderLevel,location\r\n"Bolt, ""long""",3,sku-1,2,\r\n'
  expect(parseStock(csv)).toEqual([
    { sku: 'sku-1', name: 'Bolt, "long"', location: '', reorderLevel: 2, onHand: 3 },
  ])
})

test('what is wrong with a list is said with its line', () => {
  expect(() => parseStock('sku,name\na,b')).toThrow('line 1: no column location')
  expect(() => parseStock(`${head}\na,b,c,1,-1`)).toThrow('line 2, onHand: "-1" is not a whole')
  expect(() => parseStock(`${head}\na,b,c,1,1\n,b,c,1,1`)).toThrow('line 3: no sku or no name')
})
