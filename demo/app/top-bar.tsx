/** Connection, outbox and refusals: always in sight, each with a shape and a word. */
import { useLive } from '@tidemark/client/react'
import { system } from '@tidemark/shared'
import type { ReactNode } from 'react'
import { devices } from './devices.ts'
import { Icon } from './icons.tsx'
import { client, device, signInAs } from './inventory.ts'
import { switchedOff, switchOff } from './offline-switch.ts'
import { sayAuthor, sayLink, sayLoss, sayPending } from './words.ts'

/** The bar at the top. */
export function TopBar(): ReactNode {
  const status = useLive(client.status)
  const { word, why } = sayLink(status)
  const online = status.link === 'online'
  return (
    <header className="bar" data-link={status.link}>
      <p className={online ? 'chip chip-online' : 'chip chip-offline'} title={why} role="status">
        <Icon name={online ? 'online' : 'offline'} />
        {word}
      </p>
      <p
        className={status.pending ? 'chip chip-waiting' : 'chip'}
        title="What you booked and the gateway has not confirmed yet. It is stored on this device."
        data-testid="outbox"
      >
        <Icon name={status.pending ? 'waiting' : 'check'} />
        {sayPending(status.pending)}
      </p>
      {status.refused > 0 && (
        <a className="chip chip-refused" href="#refused">
          <Icon name="alert" />
          {status.refused} refused
        </a>
      )}
      {status.storage !== 'ok' && status.storage !== 'opening' && (
        <p className="chip chip-refused" role="alert">
          <Icon name="alert" />
          Storage: {status.storage}
        </p>
      )}
      <SignedIn />
      <OfflineSwitch />
      {status.lost && (
        <p className="lost" role="alert">
          {sayLoss(status.lost, system.now())}{' '}
          <button type="button" onClick={() => client.acknowledgeLoss()}>
            Understood
          </button>
        </p>
      )}
    </header>
  )
}

/** Who is signed in on this device; another may take over, also without a network. */
function SignedIn(): ReactNode {
  return (
    <label
      className="signed-in"
      title="Who is working on this device. Each has an outbox of their own."
    >
      <span className="sr-only">Signed in</span>
      <select value={device.user} onChange={({ target }) => void signInAs(target.value)}>
        {devices.map(({ user }) => (
          <option key={user} value={user}>
            {sayAuthor(user)}
          </option>
        ))}
      </select>
    </label>
  )
}

function OfflineSwitch(): ReactNode {
  const off = useLive(switchedOff)
  return (
    <button
      type="button"
      role="switch"
      aria-checked={!off}
      className="switch"
      title="Cuts this device's socket, or lets it come back."
      onClick={() => switchOff(!off)}
    >
      Network <span className="track" aria-hidden="true" />
      <span className="switch-word">{off ? 'off' : 'on'}</span>
    </button>
  )
}
