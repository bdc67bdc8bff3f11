/** All items, of which only the rows in sight are rendered. */
import { useLive } from '@tidemark/client/react'
import type { PresentState } from '@tidemark/client'
import {
  type KeyboardEvent,
  memo,
  type ReactNode,
  useDeferredValue,
  useEffect,
  useRef,
  useState,
} from 'react'
import { flushSync } from 'react-dom'
import { isLow, type Item } from '../events.ts'
import { Icon } from './icons.tsx'
import { client } from './inventory.ts'
import { OnHand } from './on-hand.tsx'
import { useWindow } from './use-window.ts'
import { count } from './words.ts'

const rowPx = 64

const filters = {
  all: { word: 'All', keeps: () => true },
  low: { word: 'Low', keeps: ({ state }: PresentState<Item>) => isLow(state) },
  waiting: { word: 'Waiting', keeps: ({ pending }: PresentState<Item>) => pending > 0 },
} as const

type Filter = keyof typeof filters

interface ItemListProps {
  readonly open: (sku: string) => void
  readonly selected: string | undefined
  /** The item whose row gets the focus back. */
  readonly returnTo: string | undefined
}

/** The list with its search and filters. */
export function ItemList({ open, selected, returnTo }: ItemListProps): ReactNode {
  const { status, items } = useLive(client.model.item.list())
  const [words, setWords] = useState('')
  const [filter, setFilter] = useState<Filter>('all')
  const sought = useDeferredValue(words).toLowerCase().split(' ').filter(Boolean)
  const shown = items.filter((each) => filters[filter].keeps(each) && matches(each, sought))
  return (
    <section className="list" aria-label="Items">
      <div className="tools">
        <label className="search">
          <Icon name="search" />
          <span className="sr-only">Search items</span>
          <input
            type="search"
            placeholder="Search"
            value={words}
            onChange={(e) => setWords(e.target.value)}
          />
        </label>
        <fieldset className="filters">
          <legend className="sr-only">Show</legend>
          {(Object.keys(filters) as Filter[]).map((name) => (
            <label key={name}>
              <input
                type="radio"
                name="filter"
                checked={filter === name}
                onChange={() => setFilter(name)}
              />
              <span>{filters[name].word}</span>
            </label>
          ))}
        </fieldset>
        <p className="total">{status === 'ready' && `${count(shown.length)} items`}</p>
      </div>
      {shown.length > 0 ? (
        <Rows items={shown} open={open} selected={selected} returnTo={returnTo} />
      ) : (
        <Nothing loading={status === 'loading'} stock={items.length > 0} filter={filter} />
      )}
    </section>
  )
}

const matches = ({ key, state }: PresentState<Item>, sought: readonly string[]): boolean => {
  const text = `${key} ${state.name} ${state.location}`.toLowerCase()
  return sought.every((word) => text.includes(word))
}

interface NothingProps {
  readonly loading: boolean
  readonly stock: boolean
  readonly filter: Filter
}

function Nothing({ loading, stock, filter }: NothingProps): ReactNode {
  if (loading) return <p className="nothing">Reading what is stored on this device …</p>
  if (!stock) {
    return (
      <p className="nothing">
        No items on this device yet. They come with the first connection; if there are none at all,
        run <code>npm run seed</code>.
      </p>
    )
  }
  if (filter === 'waiting') return <p className="nothing">Everything you booked is confirmed.</p>
  return <p className="nothing">No item fits.</p>
}

interface RowsProps extends ItemListProps {
  readonly items: readonly PresentState<Item>[]
}

function Rows({ items, open, selected, returnTo }: RowsProps): ReactNode {
  const viewport = useRef<HTMLUListElement>(null)
  const { first, end, look } = useWindow(viewport, rowPx, items.length)
  useEffect(() => {
    if (returnTo) focusRow(viewport.current, `[data-sku="${CSS.escape(returnTo)}"]`)
  }, [returnTo])
  const moveFocus = (event: KeyboardEvent) => {
    const step = { ArrowDown: 1, ArrowUp: -1 }[event.key]
    const row = (event.target as Element).closest<HTMLElement>('[data-index]')
    const list = viewport.current
    if (!step || !row || !list) return
    event.preventDefault()
    const index = Math.max(0, Math.min(items.length - 1, Number(row.dataset['index']) + step))
    scrollToRow(list, index)
    // The row has to be there before it can take the focus.
    flushSync(look)
    focusRow(list, `[data-index="${index}"]`)
  }
  return (
    // oxlint-disable-next-line jsx-a11y/no-noninteractive-element-interactions -- arrow keys move between the buttons inside
    <ul className="rows" ref={viewport} onKeyDown={moveFocus}>
      <li className="spacer" aria-hidden="true" style={{ height: items.length * rowPx }} />
      {items.slice(first, end).map((each, offset) => (
        <Row
          key={each.key}
          item={each}
          index={first + offset}
          total={items.length}
          current={each.key === selected}
          open={open}
        />
      ))}
    </ul>
  )
}

function scrollToRow(list: HTMLElement, index: number): void {
  const top = index * rowPx
  if (top < list.scrollTop) list.scrollTop = top
  else if (top + rowPx > list.scrollTop + list.clientHeight) {
    list.scrollTop = top + rowPx - list.clientHeight
  }
}

const focusRow = (list: HTMLElement | null, selector: string): void =>
  list?.querySelector<HTMLElement>(`${selector} .row-open`)?.focus()

interface RowProps {
  readonly item: PresentState<Item>
  readonly index: number
  readonly total: number
  readonly current: boolean
  readonly open: (sku: string) => void
}

/** One item. Rendered again only when its own state is another object. */
const Row = memo(function Row({ item, index, total, current, open }: RowProps): ReactNode {
  const { key, state } = item
  return (
    <li
      className="row"
      style={{ transform: `translateY(${index * rowPx}px)` }}
      aria-setsize={total}
      aria-posinset={index + 1}
      data-index={index}
      data-sku={key}
    >
      <button
        type="button"
        className="row-open"
        aria-current={current || undefined}
        onClick={() => open(key)}
      >
        <span className="row-name">{state.name || key}</span>
        <span className="row-where">
          {key} · {state.location}
        </span>
        <Stand item={state} />
        <OnHand item={item} />
      </button>
    </li>
  )
})

function Stand({ item }: { readonly item: Item }): ReactNode {
  if (item.onOrder > 0) {
    return (
      <span className="tag tag-order">
        <Icon name="cart" /> {count(item.onOrder)} on order
      </span>
    )
  }
  if (!isLow(item)) return <span className="tag-none" />
  return (
    <span className="tag tag-low">
      <Icon name="alert" /> Low
    </span>
  )
}
