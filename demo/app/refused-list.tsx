/** What the gateway refused. It stays on the device, over reloads too, until somebody has dealt with it. */
import { useLive } from '@tidemark/client/react'
import { parseClaim } from '@tidemark/shared'
import type { Refused } from '@tidemark/client'
import { type ReactNode, useEffect, useRef } from 'react'
import { Icon } from './icons.tsx'
import { client } from './inventory.ts'
import { sayRefusal } from './words.ts'

/** The refused events of this device. */
export function RefusedList({ close }: { readonly close: () => void }): ReactNode {
  const refused = useLive(client.refused)
  const title = useRef<HTMLHeadingElement>(null)
  useEffect(() => title.current?.focus(), [])
  return (
    <section className="page" aria-labelledby="refused-title">
      <div className="page-head">
        <button type="button" className="back" onClick={close}>
          <Icon name="back" /> Items
        </button>
        <h2 id="refused-title" tabIndex={-1} ref={title}>
          Refused
        </h2>
      </div>
      {refused.length === 0 && <p className="nothing">Nothing was refused.</p>}
      <ol className="refused">
        {refused.map((each) => (
          <RefusedEvent key={each.id} refused={each} />
        ))}
      </ol>
    </section>
  )
}

function RefusedEvent({ refused }: { readonly refused: Refused }): ReactNode {
  const { stream, type, data } = parseClaim(refused.line)
  return (
    <li className="refused-event">
      <p className="line-what">
        <Icon name="alert" /> {type} of{' '}
        <a href={`#item/${encodeURIComponent(stream)}`}>
          {client.model.item(stream).get()?.name || stream}
        </a>
      </p>
      <p>{sayRefusal(refused)}</p>
      <details>
        <summary>{refused.refusal.code}</summary>
        <pre>{JSON.stringify(data, undefined, 2)}</pre>
      </details>
      <button type="button" onClick={() => void client.refused.discard(refused.id)}>
        Discard
      </button>
    </li>
  )
}
