/** The device's end of Tidemark: one client for the page, and how the screens read and write with it. */
import { type Client, createClient } from '@tidemark/client'
import { signOut } from '@tidemark/client/sign-out'
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

/** An event of this device that was refused, by the gateway or by the command that had decided on it. */
export type RefusedHere = ReturnType<typeof client.refused.getSnapshot>[number]

/**
 * Lets somebody else work on this device, also without a network. What the one before has not sent stays
 * here, and goes out when they are back.
 */
export async function signInAs(user: string): Promise<void> {
  await signOut(client, { unsynced: 'keep' })
  location.assign(`?${new URLSearchParams({ device: device.id, user })}`)
}
