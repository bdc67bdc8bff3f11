import { once } from 'node:events'
import { connect } from 'node:net'
import { expect, test } from 'vitest'
import { startEmulator } from './emulator.ts'

test('an emulator ends, though somebody has connected and said nothing', async () => {
  const emulator = await startEmulator({ config: { topics: [] } })
  const silent = connect(emulator.port, '127.0.0.1')
  await once(silent, 'connect')
  const cut = once(silent, 'close')
  await emulator.close()
  await cut
  expect(silent.destroyed).toBe(true)
})
