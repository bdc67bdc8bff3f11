/** A tab that waits for the lead. */
import { offline, openStock } from './device.ts'

let tab: ReturnType<typeof openStock> | undefined

/** Makes this page a tab of the user's. */
export function openTab(user: string): void {
  tab = openStock(user, offline)
}

/** Resolves when this tab leads. */
export async function tabLeads(): Promise<void> {
  const { status } = tab ?? {}
  await new Promise<void>((resolve) => {
    const look = (): void => {
      if (!status?.getSnapshot().leader) return
      stop?.()
      resolve()
    }
    const stop = status?.subscribe(look)
    look()
  })
}

/** Resolves when this tab has seen that another leads. */
export async function tabFollows(user: string): Promise<void> {
  for (;;) {
    const { held = [], pending = [] } = await navigator.locks.query()
    const isOf = ({ name }: LockInfo): boolean => name?.includes(user) ?? false
    if (held.some(isOf) && pending.some(isOf)) return
    await new Promise((resolve) => setTimeout(resolve, 20))
  }
}
