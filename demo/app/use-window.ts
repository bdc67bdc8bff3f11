/** Which rows of a long list are in sight: only those are rendered, so ten thousand cost what ten do. */
import { type RefObject, useCallback, useLayoutEffect, useState } from 'react'

const overscanRows = 6

/** The rows to render, from `first` to before `end`. */
export interface RowWindow {
  readonly first: number
  readonly end: number
  /** Looks at once, rather than when the browser tells that it has scrolled. */
  readonly look: () => void
}

/** Follows the scrolling of `viewport`, whose rows are `rowPx` pixels high. */
export function useWindow(
  viewport: RefObject<HTMLElement | null>,
  rowPx: number,
  rows: number,
): RowWindow {
  const [inSight, setInSight] = useState({ first: 0, end: 30 })
  const look = useCallback(() => {
    const element = viewport.current
    if (!element) return
    const first = Math.max(0, Math.floor(element.scrollTop / rowPx) - overscanRows)
    const end = Math.ceil((element.scrollTop + element.clientHeight) / rowPx) + overscanRows
    setInSight((now) => (now.first === first && now.end === end ? now : { first, end }))
  }, [viewport, rowPx])
  useLayoutEffect(() => {
    const element = viewport.current
    if (!element) return
    look()
    element.addEventListener('scroll', look, { passive: true })
    const resized = new ResizeObserver(look)
    resized.observe(element)
    return () => {
      element.removeEventListener('scroll', look)
      resized.disconnect()
    }
  }, [viewport, look])
  return { first: Math.min(inSight.first, rows), end: Math.min(inSight.end, rows), look }
}
