/**
 * Seeds that once failed, and what was wrong. They are run first, for ever. A seed's history changes
 * with the code, so each is only a place to look; the tests beside the code are what holds.
 */

/** A seed that found something. */
export interface Regression {
  readonly seed: number
  /** What broke, and why. */
  readonly was: string
}

/** All of them. */
export const regressions: readonly Regression[] = [
  {
    seed: 14,
    was: 'The gateway watched for silence with a timer of a fraction of a millisecond, again and again, where a clock fires early.',
  },
  {
    seed: 25,
    was: 'L2: a hello that was long on its way superseded the client’s own newer link, and the client never came back.',
  },
  {
    seed: 36,
    was: 'L2: a log that nobody reads was called forbidden for ever, when the link ended between the hold and the verdict.',
  },
  {
    seed: 88,
    was: 'L1: tabs that do not lead showed accepted events of a log that nobody reads as pending, and never told of their verdicts.',
  },
  {
    seed: 143,
    was: 'I16: a relay that redrove a parked stream from inside a batch lost the rest of the batch, for the memory log began at the next one.',
  },
  {
    seed: 216,
    was: 'L1: a disk that failed at the wrong moment kept a tab from learning of a verdict.',
  },
  {
    seed: 286,
    was: 'L2: a log whose reading was forbidden for a while was never asked for again on that link.',
  },
  {
    seed: 1857,
    was: 'L2: a log was called held for ever, when its entries came back without a verdict.',
  },
  {
    seed: 2173,
    was: 'L3: nobody submitted what a tab had written just before it died, for it had rung no bell.',
  },
  {
    seed: 4419,
    was: 'I5: rows of another tab overtook one whose write the leading tab had not heard the end of.',
  },
  {
    seed: 10013,
    was: 'L1: a tab that read a new decision together with its entry never told who waited for the old one.',
  },
  {
    seed: 10180,
    was: 'I21: what a link was handed while the disk was full could be withdrawn.',
  },
  {
    seed: 1293,
    was: 'I21: what was withdrawn was submitted by a tab whose disk could not be read just then.',
  },
  {
    seed: 31,
    was: 'L2: a list lacked a key whose newest entry came while its state was not in memory.',
  },
]
