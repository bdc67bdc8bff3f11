/** The app on one device: the bar that always says how things stand, the items, and one of them in full. */
import { type ReactNode, useCallback, useEffect, useState } from 'react'
import { ItemList } from './item-list.tsx'
import { ItemPage } from './item-page.tsx'
import { RefusedList } from './refused-list.tsx'
import { TopBar } from './top-bar.tsx'

type Place = { readonly at: 'items' | 'refused' } | { readonly at: 'item'; readonly sku: string }

const readPlace = (): Place => {
  const [at, sku] = location.hash.slice(1).split('/')
  if (at === 'item' && sku) return { at, sku: decodeURIComponent(sku) }
  return { at: at === 'refused' ? at : 'items' }
}

/** The app. Where it is stands in the address, so a reload comes back to it. */
export function App(): ReactNode {
  const [place, setPlace] = useState(readPlace)
  const [picked, setPicked] = useState<string>()
  useEffect(() => {
    const moved = () => setPlace(readPlace())
    addEventListener('hashchange', moved)
    return () => removeEventListener('hashchange', moved)
  }, [])
  const open = useCallback((sku: string) => {
    setPicked(sku)
    location.hash = `item/${encodeURIComponent(sku)}`
  }, [])
  const close = useCallback(() => (location.hash = ''), [])
  return (
    <div className={`app at-${place.at}`}>
      <TopBar />
      <main className="content">
        <ItemList
          open={open}
          selected={place.at === 'item' ? place.sku : undefined}
          returnTo={place.at === 'items' ? picked : undefined}
        />
        {place.at === 'item' && <ItemPage key={place.sku} sku={place.sku} close={close} />}
        {place.at === 'refused' && <RefusedList close={close} />}
      </main>
    </div>
  )
}
