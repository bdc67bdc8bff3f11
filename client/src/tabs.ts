/** What the tabs of one database tell each other: that it has changed, and how the leader's link is. */
import type { Broadcast } from '@tidemark/shared'
import type { LogStatus, Status, StatusCell } from './status.ts'

/** What a tab says to the others. */
export interface Tabs {
  /** The database has changed. */
  changed(): void
  close(): void
}

interface LinkNews extends Pick<Status, 'link' | 'linkError' | 'stalled'> {
  readonly type: 'link'
  readonly logs: Readonly<Record<string, Pick<LogStatus, 'caughtUp' | 'forbidden'>>>
}

type News = { readonly type: 'changed' } | { readonly type: 'who' } | LinkNews

/** Starts to talk and to listen. `onChanged` hears that another tab has written. */
export function openTabs(broadcast: Broadcast, status: StatusCell, onChanged: () => void): Tabs {
  const post = (news: News): void => broadcast.post(news)
  let told = ''
  const tellLink = (isAsked = false): void => {
    const { leader, link, linkError, stalled, logs } = status.getSnapshot()
    if (!leader) return
    const news: LinkNews = { type: 'link', link, linkError, stalled, logs: pickLogs(logs) }
    const text = JSON.stringify(news)
    if (text === told && !isAsked) return
    told = text
    post(news)
  }
  const stopStatus = status.subscribe(tellLink)
  const stopListening = broadcast.listen((message) => {
    const news = message as News
    if (news.type === 'changed') onChanged()
    if (news.type === 'who') tellLink(true)
    if (news.type === 'link' && !status.getSnapshot().leader) hear(status, news)
  })
  post({ type: 'who' })
  return {
    changed: () => post({ type: 'changed' }),
    close() {
      stopStatus()
      stopListening()
      broadcast.close()
    },
  }
}

function hear(status: StatusCell, { link, linkError, stalled, logs }: LinkNews): void {
  status.patch({ link, linkError, stalled })
  for (const [topic, log] of Object.entries(logs)) status.patchLog(topic, log)
}

const pickLogs = (logs: Status['logs']): LinkNews['logs'] =>
  Object.fromEntries(
    Object.entries(logs).map(([topic, { caughtUp, forbidden }]) => [
      topic,
      { caughtUp, forbidden },
    ]),
  )
