import { useModel, useRefused, useStatus } from '@tidemark/client/react'
import { useState } from 'react'
import { client } from '../client.ts'
import { inventory } from '../events.ts'

const receive = (sku: string) => client.append(inventory.stream(sku).StockReceived({ quantity: 1 }))

export function App() {
  const { items } = useModel(client.model.item.list())
  const { link, pending } = useStatus(client)
  const refused = useRefused(client)
  const [denied, setDenied] = useState('')

  const pick = async (sku: string) => {
    const picked = await client.model.item(sku).pick({ quantity: 1 })
    setDenied(picked.ok ? '' : `${sku}: ${picked.code}`)
  }

  return (
    <>
      <h1>Stock, in React</h1>
      <p className={link} role="status">
        {link === 'online' ? 'online' : 'offline'}, {pending} pending
      </p>
      <form action={async (data) => void (await receive(String(data.get('sku'))))}>
        <input name="sku" aria-label="Item" placeholder="An item" required />
        <button>Receive</button>
      </form>
      {denied && <p role="alert">{denied}</p>}
      <ul aria-label="Stock">
        {items.map(({ key, state, pending }) => (
          <li key={key} className={pending ? 'pending' : ''}>
            <span>{key}</span> <b>{state.onHand}</b>
            <button onClick={() => receive(key)}>+1</button>
            <button onClick={() => pick(key)}>−1</button>
          </li>
        ))}
      </ul>
      <ul aria-label="Refused">
        {refused.map(({ id, refusal, decision }) => (
          <li key={id}>
            <span>{decision?.key}</span> <b>{refusal.code}</b>
            <button onClick={() => client.refused.discard(id)}>Discard</button>
          </li>
        ))}
      </ul>
    </>
  )
}
