/** What runs in the page: the measurements of both sides, called by name from rows/browser.ts. */
import { dexieApply } from '../limits/dexie-apply.ts'
import { rawAppend } from '../limits/raw-append.ts'
import { appendConcurrent, appendInTurn, tidemarkApply } from './tidemark.ts'

/** Measurements by name. Each makes its own database, deletes it, and says how many a second it did. */
export const inPage = {
  rawAppendOne: (count: number) => rawAppend(count, 1),
  rawAppendHundreds: (count: number) => rawAppend(count, 100),
  rawAppendAll: (count: number) => rawAppend(count, count),
  tidemarkAppendOne: (count: number) => appendInTurn(count, 1),
  tidemarkAppendHundreds: (count: number) => appendInTurn(count, 100),
  tidemarkAppendAll: appendConcurrent,
  dexieApply,
  tidemarkApply,
}

/** The measurements that a page has. */
export type InPage = typeof inPage

Object.assign(globalThis, { inPage })
