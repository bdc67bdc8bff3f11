/** The page with two devices side by side, and a guide that ticks off what was tried. */
import { type Device, devices } from './devices.ts'
import type { DeviceNews } from './tell-panes.ts'

const [ada] = devices

interface Step {
  readonly text: string
  /** Has this news of Ada's device completed the step? */
  readonly done: (news: DeviceNews) => boolean
}

const steps: readonly Step[] = [
  { text: `On ${ada.name}, switch the network off.`, done: ({ off }) => off },
  {
    text: 'Pick 2 of the first item. It falls below its reorder level.',
    done: ({ off, pending }) => off && pending > 0,
  },
  {
    text: `Reload ${ada.name}. The booking is still there, still waiting.`,
    done: ({ off, opened, pending }) => off && opened && pending > 0,
  },
  {
    text: 'Switch the network on. Ben sees it once, and the purchasing service answers both.',
    done: ({ online, pending, answered }) => online && pending === 0 && answered > 0,
  },
]

const make = <Tag extends keyof HTMLElementTagNameMap>(
  tag: Tag,
  properties: Partial<HTMLElementTagNameMap[Tag]>,
  ...children: readonly Node[]
): HTMLElementTagNameMap[Tag] => {
  const element = Object.assign(document.createElement(tag), properties)
  element.append(...children)
  return element
}

function openPane(device: Device): HTMLElement {
  const src = `device.html?device=${device.id}`
  const frame = make('iframe', { src, title: device.name, id: `device-${device.id}` })
  const reload = make('button', { type: 'button', textContent: 'Reload' })
  reload.setAttribute('aria-label', `Reload ${device.name}`)
  reload.addEventListener('click', () => frame.contentWindow?.location.reload())
  const alone = make('a', { href: src, target: '_blank', textContent: 'Open alone' })
  alone.setAttribute('aria-label', `Open ${device.name} alone, in a new tab`)
  const title = make('h2', { textContent: device.name })
  return make('section', { className: 'pane' }, make('header', {}, title, reload, alone), frame)
}

function showSteps(current: number): void {
  const list = steps.map(({ text }, index) => {
    const done = index < current
    const mark = make('span', { className: 'mark', textContent: done ? '✓' : String(index + 1) })
    mark.ariaHidden = 'true'
    const words = make('span', { textContent: text })
    if (done) words.append(make('span', { className: 'sr-only', textContent: ' Done.' }))
    const step = make('li', { className: done ? 'step done' : 'step' }, mark, words)
    if (index === current) step.setAttribute('aria-current', 'step')
    return step
  })
  document.getElementById('steps')?.replaceChildren(...list)
  const finished = document.getElementById('guide-done')
  if (finished && current === steps.length) {
    finished.textContent = `That is all there is to it. Next: order from “Closed Yard”, switch the network off at once, and see it come back undone. Or kill the gateway while you book.`
  }
}

function followGuide(): void {
  let current = 0
  showSteps(current)
  addEventListener('message', ({ data, origin }: MessageEvent<DeviceNews>) => {
    if (origin !== location.origin || data.device !== ada.id) return
    if (!steps[current]?.done(data)) return
    current += 1
    showSteps(current)
  })
}

followGuide()
document.getElementById('panes')?.append(...devices.map(openPane))
