/** What runs in the page: the measurements of both sides, called by name from the rows. */
import { dexieApply } from '../limits/dexie-apply.ts'
import { rawAppend } from '../limits/raw-append.ts'
import { appendConcurrent, appendInTurn } from './append.ts'
import { tidemarkApply, tidemarkFold } from './apply.ts'
import { boot, bootFill, bootRaw, bootReads } from './boot.ts'
import { openTab, tabFollows, tabLeads } from './tab.ts'
import { updateFill, updateKey, updateList } from './update.ts'

/** Measurements by name, and what they begin with. What makes a database for itself deletes it. */
export const inPage = {
  rawAppendOne: (count: number) => rawAppend(count, 1),
  rawAppendHundreds: (count: number) => rawAppend(count, 100),
  rawAppendAll: (count: number) => rawAppend(count, count),
  tidemarkAppendOne: (count: number) => appendInTurn(count, 1),
  tidemarkAppendHundreds: (count: number) => appendInTurn(count, 100),
  tidemarkAppendAll: appendConcurrent,
  dexieApply,
  tidemarkApply,
  tidemarkFold,
  bootFill,
  boot,
  bootRaw,
  bootReads,
  updateFill,
  updateList,
  updateKey,
  openTab,
  tabLeads,
  tabFollows,
}

/** The measurements that a page has. */
export type InPage = typeof inPage

Object.assign(globalThis, { inPage })
