/** Tells the page around this device how it is doing, so that its guide can tick off what was tried. */
import { client, device } from './inventory.ts'
import { switchedOff } from './offline-switch.ts'

/** What the guide hears of a device. */
export interface DeviceNews {
  readonly device: string
  readonly off: boolean
  readonly online: boolean
  readonly pending: number
  /** This page has just been opened. */
  readonly opened: boolean
  /** Items that the purchasing service has answered for. */
  readonly answered: number
}

/** Starts to tell, where there is a page around. */
export function tellPanes(): void {
  if (window.parent === window) return
  let opened = true
  const items = client.model.item.list()
  const tell = () => {
    const { link, pending } = client.status.getSnapshot()
    const { status, items: known } = items.getSnapshot()
    // Before that it is not known what waits.
    if (status !== 'ready') return
    const answered = known.filter(({ confirmed }) => confirmed?.onOrder).length
    const news: DeviceNews = {
      device: device.id,
      off: switchedOff.getSnapshot(),
      online: link === 'online',
      pending,
      opened,
      answered,
    }
    opened = false
    window.parent.postMessage(news, location.origin)
  }
  client.status.subscribe(tell)
  switchedOff.subscribe(tell)
  items.subscribe(tell)
  tell()
}
