/** What the tabs of one database tell each other: that it has changed, and how the leader's link is. */
import { type Broadcast, sleep, type System } from '@tidemark/shared'
import type { LogStatus, Status, StatusCell } from './status.ts'

/** What a tab says to the others. */
export interface Tabs {
  say(word: Word | 'who'): void
  /** Asks the leader for a sign of life. It answers from its message event, so a hidden tab is not late. */
  askLeader(signal: AbortSignal): Promise<boolean>
  close(): void
}

/** How long a leader may take to answer, in milliseconds. */
const answerMsMax = 1_000

/**
 * What one tab tells the others: that the database has changed, that the app has another token, that the user
 * has signed out. `who` asks the leader how its link is.
 */
export type Word = 'changed' | 'reauth' | 'signOut'

interface LinkNews extends Pick<Status, 'link' | 'linkError' | 'stalled' | 'persisted'> {
  readonly type: 'link'
  readonly logs: Readonly<Record<string, Pick<LogStatus, 'caughtUp' | 'forbidden'>>>
}

type News = { readonly type: Word | 'who' } | LinkNews

/** What talking needs. */
export interface TabsPorts {
  readonly broadcast: Broadcast
  readonly status: StatusCell
  readonly system: System
  /** The app has paused this tab: how the leader's link is says nothing of it. */
  readonly isPaused: () => boolean
  /** Another tab has said so. It may be of a newer version, and say what is not known here. */
  readonly onWord: (word: Word) => void
}

/** Starts to talk and to listen. */
export function openTabs({ broadcast, status, system, isPaused, onWord }: TabsPorts): Tabs {
  const post = (news: News): void => broadcast.post(news)
  const say: Tabs['say'] = (type) => post({ type })
  const answered = new Set<() => void>()
  let told = ''
  const tellLink = (isAsked = false): void => {
    const { leader, link, linkError, stalled, persisted, logs } = status.getSnapshot()
    if (!leader) return
    const state = { link, linkError, stalled, persisted }
    const news: LinkNews = { type: 'link', ...state, logs: pickLogs(logs) }
    const text = JSON.stringify(news)
    if (text === told && !isAsked) return
    told = text
    post(news)
  }
  const stopStatus = status.subscribe(tellLink)
  const stopListening = broadcast.listen((message) => {
    const news = message as News
    if (news.type === 'who') return tellLink(true)
    if (news.type !== 'link') return onWord(news.type)
    for (const hear of answered) hear()
    if (!status.getSnapshot().leader && !isPaused()) take(status, news)
  })
  say('who')
  return {
    say,
    async askLeader(signal) {
      const heard = new AbortController()
      const hear = (): void => heard.abort()
      answered.add(hear)
      say('who')
      await sleep(system, answerMsMax, AbortSignal.any([signal, heard.signal]))
      answered.delete(hear)
      return heard.signal.aborted
    },
    close() {
      stopStatus()
      stopListening()
      broadcast.close()
    },
  }
}

function take(status: StatusCell, news: LinkNews): void {
  const { link, linkError, stalled, persisted, logs } = news
  status.patch({ link, linkError, stalled, persisted })
  for (const [topic, log] of Object.entries(logs)) status.patchLog(topic, log)
}

const pickLogs = (logs: Status['logs']): LinkNews['logs'] =>
  Object.fromEntries(
    Object.entries(logs).map(([topic, { caughtUp, forbidden }]) => [
      topic,
      { caughtUp, forbidden },
    ]),
  )
