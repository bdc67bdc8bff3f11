/** Where the consumers of both sides leave their effects: a SQLite file with the durability that the kit asks for. */
import { join } from 'node:path'
import { DatabaseSync } from 'node:sqlite'

/** Opens file number `run` of this side, new and empty, with the table that the handler writes. */
export function openEffects(folder: string, run: number): DatabaseSync {
  const database = new DatabaseSync(join(folder, `${run}.db`))
  database.exec(`
    PRAGMA journal_mode = WAL;
    PRAGMA synchronous = FULL;
    CREATE TABLE effects (id TEXT PRIMARY KEY, stream TEXT, quantity INTEGER) WITHOUT ROWID;
  `)
  return database
}

/** The effect of one event. */
export const insertEffect = 'INSERT INTO effects VALUES (?, ?, ?)'

/** The ids of all events that had their effect. */
export const readEffects = (database: DatabaseSync): readonly string[] =>
  database
    .prepare('SELECT id FROM effects')
    .all()
    .map((row) => String(row['id']))
