/**
 * What kills a process in one exact place: the process itself, as it passes there. It leaves a marker on
 * the disk first, so that the run can count where the killed ones died without trusting their timing.
 */
import { closeSync, fsyncSync, openSync, writeSync } from 'node:fs'
import type { Gap } from './gaps.ts'

/** Gaps to die in, each with how often it is passed until then. */
export type Plan = { readonly [gap in Gap]?: number }

/** Counts how often the gaps are passed. */
export class Fuse {
  readonly #markerFile: string
  #left = new Map<string, number>()

  constructor(markerFile: string) {
    this.#markerFile = markerFile
  }

  /** Replaces the plan. */
  arm(plan: Plan): void {
    this.#left = new Map(Object.entries(plan))
  }

  /** Called in the gap. Does not return where it was this process's last pass. */
  pass(gap: Gap): void {
    const left = this.#left.get(gap)
    if (left === undefined) return
    this.#left.set(gap, left - 1)
    if (left > 1) return
    const file = openSync(this.#markerFile, 'a')
    writeSync(file, `${gap} ${process.pid}\n`)
    fsyncSync(file)
    closeSync(file)
    process.kill(process.pid, 'SIGKILL')
  }
}
