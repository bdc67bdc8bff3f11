/**
 * The switch that cuts the network: it closes the socket and keeps it closed. It is remembered, so that
 * a reload while offline stays offline, as it would in a cellar.
 */
import type { Live } from '@tidemark/client'
import { client, device } from './inventory.ts'

const key = `tidemark-demo-${device.id}-offline`
const listeners = new Set<() => void>()
let off = localStorage.getItem(key) !== null

if (off) client.pause()

/** Is the network switched off on this device? */
export const switchedOff: Live<boolean> = {
  getSnapshot: () => off,
  getInitialSnapshot: () => off,
  subscribe(changed) {
    listeners.add(changed)
    return () => void listeners.delete(changed)
  },
}

/** Cuts the socket, or lets it come back. */
export function switchOff(next: boolean): void {
  off = next
  if (off) {
    localStorage.setItem(key, '')
    client.pause()
  } else {
    localStorage.removeItem(key)
    client.resume()
  }
  for (const changed of listeners) changed()
}
