/** The two devices that the demo shows side by side, and who holds them. */

/** Whose stock the demo keeps: the one scope that everybody in it reads and writes. */
export const scope = 'harbour'

/** A device of the demo. */
export interface Device {
  /** Keys the local database and the address: `device.html?device=a`. */
  readonly id: string
  /** Who is signed in: the author of what is booked on it. */
  readonly user: string
  readonly name: string
}

/** Ada's and Ben's. */
export const devices: readonly [Device, Device] = [
  { id: 'a', user: 'ada', name: 'Ada’s tablet' },
  { id: 'b', user: 'ben', name: 'Ben’s laptop' },
]

/** The device that the address names, or the first; somebody else may be signed in on it for now. */
export function readDevice(search: string): Device {
  const address = new URLSearchParams(search)
  const device = devices.find(({ id }) => id === address.get('device')) ?? devices[0]
  const signedIn = devices.find(({ user }) => user === address.get('user'))
  return { ...device, user: signedIn?.user ?? device.user }
}
