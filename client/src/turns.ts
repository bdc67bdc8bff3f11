/** One at a time: what a tab holds in memory must change in the order in which its disk did. */

/** Runs a job when all jobs before it have ended, however they ended. */
export type Turns = <Result>(job: () => Promise<Result>) => Promise<Result>

/** Makes a row of turns. */
export function createTurns(): Turns {
  let last: Promise<unknown> = Promise.resolve()
  return (job) => {
    const result = last.then(job, job)
    // Whoever asked for the job hears of its failure; the next in line only waits for its end.
    last = result.catch(() => undefined)
    return result
  }
}
