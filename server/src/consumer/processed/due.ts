/** What a loop of a consumer has to do next, and when. */

/** What is due: an item, or when the next one will be (ms since 1970), or neither. */
export interface Due<Item> {
  readonly item?: Item | undefined
  readonly nextAt?: number | undefined
}
