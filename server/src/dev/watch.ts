/**
 * Says when files have changed, and have come to rest. What the operating system tells of a folder is only a
 * hint, since editors save in many ways (a rename, several writes, a file that is gone for a moment): what
 * counts is whether the text is another one. Where no hint comes, as on a mounted folder, it looks by itself.
 */
import { type FSWatcher, watch } from 'node:fs'
import { dirname } from 'node:path'
import { Doorbell, sleep, type System } from '@tidemark/shared'
import { readText } from './load.ts'

/** How long a text must stay the same before it is taken for saved, in ms. */
const restMs = 50
/** Between two looks without a hint, in ms. */
const lookMs = 1_000

/** Hears of changed files. */
export interface Watch {
  /**
   * Resolves when one of the files has another text than here, and it stays the same for a moment; or when
   * `signal` aborts. Absent: there is no such file.
   */
  changed(texts: ReadonlyMap<string, string | undefined>, signal: AbortSignal): Promise<void>
  close(): void
}

/** Watches nothing yet: each `changed` names its files. */
export function createWatch(system: System): Watch {
  const bell = new Doorbell()
  const watchers = new Map<string, FSWatcher>()

  /** A folder that cannot be watched is looked at now and then. */
  const follow = (folders: ReadonlySet<string>): void => {
    for (const folder of folders) {
      if (watchers.has(folder)) continue
      try {
        const watcher = watch(folder, () => bell.ring())
        watchers.set(folder, watcher)
        watcher.on('error', () => watchers.delete(folder))
      } catch {
        continue
      }
    }
  }

  return {
    async changed(texts, signal) {
      const paths = [...texts.keys()]
      follow(new Set(paths.map((path) => dirname(path))))
      const isSame = (): boolean => paths.every((path) => readText(path) === texts.get(path))
      while (!signal.aborted && isSame()) {
        const cancel = system.after(lookMs, () => bell.ring())
        await bell.wait(signal)
        cancel()
      }
      const read = (): string => JSON.stringify(paths.map((path) => readText(path) ?? null))
      for (let now = read(), before = ''; now !== before && !signal.aborted;) {
        before = now
        await sleep(system, restMs, signal)
        now = read()
      }
    },
    close() {
      for (const watcher of watchers.values()) watcher.close()
      watchers.clear()
    },
  }
}
