/** Small drawings that go with a word; none of them says anything by itself. */
import type { ReactNode } from 'react'

const drawings = {
  online:
    'M2 10c2 0 2-1.7 4-1.7S8 10 10 10s2-1.7 4-1.7M2 13.5c2 0 2-1.7 4-1.7s2 1.7 4 1.7 2-1.7 4-1.7M8 2v4M6 4h4',
  offline: 'M3 3l10 10M2 10c1.2 0 1.7-.6 2.3-1.1M7 8.6C8 9 8.6 10 10 10s2-1.7 4-1.7M8 2v3',
  waiting: 'M8 4.5V8l2.2 1.5',
  check: 'M3.5 8.5l3 3 6-7',
  tray: 'M2.5 9.5v3.5h11V9.5M2.5 9.5h3l1 1.7h3l1-1.7h3M8 2v5M5.8 4.2L8 2l2.2 2.2',
  alert: 'M8 2.5l6 11H2zM8 6.5v3.2M8 11.6v.2',
  back: 'M10 3L5 8l5 5',
  search: 'M7 11.5a4.5 4.5 0 1 0 0-9 4.5 4.5 0 0 0 0 9zM10.3 10.3L14 14',
  cart: 'M1.5 3h2l1.5 7h7l1.5-5H4.2M6 13.2v.1M11 13.2v.1',
  undo: 'M6 3L2.5 6.5L6 10M2.5 6.5H10a3.2 3.2 0 0 1 0 6.5H6.5',
  minus: 'M3.5 8h9',
  plus: 'M8 3.5v9M3.5 8h9',
} as const

/** An icon of the width of a letter. Hidden from screen readers: the word beside it is read. */
export function Icon({ name }: { readonly name: keyof typeof drawings }): ReactNode {
  return (
    <svg className={`icon icon-${name}`} viewBox="0 0 16 16" aria-hidden="true">
      {name === 'waiting' && <circle cx="8" cy="8" r="6" strokeDasharray="2.4 2.3" />}
      <path d={drawings[name]} />
    </svg>
  )
}
