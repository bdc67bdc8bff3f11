/**
 * Keeps this page's own files on the device, so that it opens without a network. The events are none of
 * its business: those are in IndexedDB.
 */

/** Stores what this page consists of, and starts the worker that answers from it. */
export async function keepShell(): Promise<void> {
  if (!('serviceWorker' in navigator) || !import.meta.env.PROD) return
  await navigator.serviceWorker.register('/shell-worker.js')
  if (!navigator.onLine) return
  const page = location.origin + location.pathname
  const files = performance
    .getEntriesByType('resource')
    .map(({ name }) => name)
    .filter((name) => name.startsWith(`${location.origin}/assets/`) || name.endsWith('.svg'))
  const cache = await caches.open(`shell ${location.pathname}`)
  const wanted = new Set([page, ...files])
  await cache.addAll([...wanted])
  for (const { url } of await cache.keys()) {
    if (!wanted.has(url)) await cache.delete(url)
  }
}
