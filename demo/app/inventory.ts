/** The device's end of Tidemark: one client for the page, and how the screens read and write with it. */
import { type Client, createClient } from '@tidemark/client'
import type { Draft } from '@tidemark/shared'
import { item, order } from '../events.ts'
import { type Device, readDevice, scope } from './devices.ts'
import { history } from './history.ts'

const models = { item, history, order }

/** The device that this page is. */
export const device: Device = readDevice(location.search)

const gateway = `${location.origin.replace('http', 'ws')}/sync`

/** This page's client. */
export const client: Client<typeof models> = createClient({
  url: gateway,
  user: device.user,
  scope,
  // A demo's token: whoever says "ada" is Ada. Real ones come from your identity provider.
  token: () => device.user,
  models,
  name: `tidemark-demo-${device.id}`,
})

/** Books one event on this device. Resolves when it is stored here, with or without a network. */
export const book = (draft: Draft): Promise<unknown> => client.append(draft)
