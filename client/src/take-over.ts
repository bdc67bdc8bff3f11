/**
 * One client for each database in a page. Where the module that makes a client runs again, as it does when its
 * file is edited under hot reload, nobody closes the client that it made before: the new one does, since two
 * would keep two connections and only the one that leads would sync, by the definitions of its own time.
 */

/** What ends the clients of this page, by the name of their database. */
const living = new Map<string, Set<() => void>>()

/**
 * Closes the clients that this page has of a database, and puts down what closes the new one, until `signal`
 * aborts. Clients that are made in one go are left alone: React's strict mode calls a component twice, and
 * nobody can say yet which of the two it keeps.
 */
export function takeOver(database: string, close: () => void, signal: AbortSignal): void {
  for (const closeOlder of living.get(database) ?? []) closeOlder()
  const settle = (): void => {
    if (signal.aborted) return
    const known = living.get(database) ?? new Set()
    living.set(database, known.add(close))
    signal.addEventListener('abort', () => known.delete(close), { once: true })
  }
  void Promise.resolve().then(settle)
}
