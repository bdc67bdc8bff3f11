/** The states of models in SQLite: a row for each key, and one for each value that it is found by. */
import { deserialize, serialize } from 'node:v8'
import { type Position, TidemarkError } from '@tidemark/shared'
import type { StatementSync } from 'node:sqlite'
import { outlived } from './builds.ts'
import type { Checkpoint, StateRange, StateRow, Want } from './store.ts'

/** The tables, from layout 3 on. */
export const statesSchema = `
  create table builds (
    n integer primary key autoincrement, build text not null unique, model text not null,
    position integer not null, isComplete integer not null
  );
  create table states (
    build text not null, key text not null, position integer not null, revision integer not null,
    state blob not null, primary key (build, key)
  ) without rowid;
  create table indexed (
    build text not null, name text not null, value not null, key text not null,
    primary key (build, name, value, key)
  ) without rowid;
  create index indexedByKey on indexed (build, key);
`

const order = { up: 'asc', down: 'desc' } as const

const ranges = (direction: 'asc' | 'desc') => ({
  byKey: `select * from states where build = ? and key >= ? and key <= ?
    order by key ${direction} limit ?`,
  byIndex: `select states.* from indexed join states using (build, key)
    where build = ? and name = ? and value >= ? and value <= ?
    order by value ${direction}, key ${direction} limit ?`,
})

/** What is prepared on each connection. */
export const stateStatements = {
  builds: 'select build, model, position, isComplete from builds order by n',
  build: 'select position, isComplete from builds where build = ?',
  writeBuild: `insert into builds (build, model, position, isComplete) values (?, ?, ?, ?)
    on conflict (build) do update set position = excluded.position, isComplete = excluded.isComplete`,
  dropBuild: 'delete from builds where build = ?',
  dropStates: 'delete from states where build = ?',
  dropIndexed: 'delete from indexed where build = ?',
  writeState: 'insert or replace into states values (?, ?, ?, ?, ?)',
  unindex: 'delete from indexed where build = ? and key = ?',
  index: 'insert into indexed values (?, ?, ?, ?)',
  state: 'select * from states where build = ? and key = ?',
  byKeyUp: ranges(order.up).byKey,
  byKeyDown: ranges(order.down).byKey,
  byIndexUp: ranges(order.up).byIndex,
  byIndexDown: ranges(order.down).byIndex,
} as const

type Statements = { readonly [Name in keyof typeof stateStatements]: StatementSync }

/** SQLite compares numbers before texts: a text that nothing is greater than, as far as keys are made of letters. */
const greatest = '\u{10ffff}'
const noLimit = -1

/** How far the builds are. */
export const readCheckpoints = (run: Statements): readonly Checkpoint[] =>
  run.builds.all().map((row) => {
    const { build, model, position, isComplete } = row as Record<string, unknown>
    return {
      build: String(build),
      model: String(model),
      position: Number(position) as Position,
      isComplete: isComplete === 1,
    }
  })

/** See `Store.writeStates`. */
export function writeStates(
  run: Statements,
  to: Checkpoint,
  after: Position | undefined,
  rows: readonly StateRow[],
): Position | undefined {
  const { build, model, isComplete } = to
  const found = run.build.get(build) as { position: Position; isComplete: number } | undefined
  if (found?.position !== after) return found?.position
  for (const row of rows) writeState(run, to, row)
  run.writeBuild.run(build, model, to.position, Number(isComplete))
  if (isComplete && !found?.isComplete) {
    for (const each of outlived(readCheckpoints(run), to)) {
      for (const drop of [run.dropBuild, run.dropStates, run.dropIndexed]) drop.run(each.build)
    }
  }
  return to.position
}

function writeState(run: Statements, { build, model }: Checkpoint, row: StateRow): void {
  const { key, position, revision, indexed } = row
  run.writeState.run(build, key, position, revision, toBlob(model, row))
  run.unindex.run(build, key)
  for (const [name, value] of Object.entries(indexed)) run.index.run(build, name, value, key)
}

function toBlob(model: string, { state, indexed }: StateRow): Uint8Array {
  try {
    return serialize({ state, indexed })
  } catch (cause) {
    throw new TidemarkError('STATE_NOT_STORABLE', { model }, { cause })
  }
}

/** What is wanted of a build. */
export function readStates(run: Statements, want: Want): readonly StateRow[] | undefined {
  const { build } = want
  if (!run.build.get(build)) return undefined
  if ('range' in want) return readRange(run, build, want.range).map(toStateRow)
  return want.keys
    .map((key) => run.state.get(build, key))
    .filter((row) => row !== undefined)
    .map(toStateRow)
}

function readRange(run: Statements, build: string, range: StateRange): readonly unknown[] {
  const { index, descending, rowsMax, to = greatest } = range
  const limit = rowsMax > Number.MAX_SAFE_INTEGER ? noLimit : rowsMax
  if (index === undefined) {
    const read = descending ? run.byKeyDown : run.byKeyUp
    return read.all(build, range.from ?? '', to, limit)
  }
  const read = descending ? run.byIndexDown : run.byIndexUp
  return read.all(build, index, range.from ?? -Infinity, to, limit)
}

function toStateRow(row: unknown): StateRow {
  const { key, position, revision, state } = row as Pick<
    StateRow,
    'key' | 'position' | 'revision'
  > & { readonly state: Uint8Array }
  return { key, position, revision, ...(deserialize(state) as Pick<StateRow, 'state' | 'indexed'>) }
}
