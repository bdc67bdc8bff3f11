/** The page of one device. */
import { StrictMode } from 'react'
import { createRoot } from 'react-dom/client'
import * as z from 'zod'
import { App } from './app.tsx'
import { client, device } from './inventory.ts'
import { keepShell } from './shell.ts'
import { tellPanes } from './tell-panes.ts'

declare global {
  interface Window {
    /** This page's client, for whoever is curious, and for the tests. */
    tidemark: typeof client
  }
}

// The page's security policy forbids code made from strings, so zod need not try whether it may.
z.config({ jitless: true })
document.title = `Stock on ${device.name}`
window.tidemark = client
tellPanes()
const root = document.getElementById('root')
if (root) {
  createRoot(root).render(
    <StrictMode>
      <App />
    </StrictMode>,
  )
}
void keepShell()
