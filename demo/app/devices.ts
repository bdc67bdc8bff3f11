/** The two devices that the demo shows side by side, and who holds them. */

/** Whose stock the demo keeps: the one scope that everybody in it reads and writes. */
export const scope = 'harbour'

/** A device of the demo. */
export interface Device {
  /** Keys the local database and the address: `device.html?device=a`. */
  readonly id: string
  /** Whose device it is: the author of what is booked on it. */
  readonly user: string
  readonly name: string
}

/** Ada's and Ben's. */
export const devices: readonly [Device, Device] = [
  { id: 'a', user: 'ada', name: 'Ada’s tablet' },
  { id: 'b', user: 'ben', name: 'Ben’s laptop' },
]

/** The device that the address names, or the first. */
export const readDevice = (search: string): Device =>
  devices.find(({ id }) => id === new URLSearchParams(search).get('device')) ?? devices[0]
