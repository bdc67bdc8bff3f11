/** Lets a bounded number in; the others wait in turn. */
export class Gate {
  #room: number
  readonly #waiting: (() => void)[] = []

  constructor(room: number) {
    this.#room = room
  }

  async enter(): Promise<void> {
    if (this.#room > 0) this.#room -= 1
    else await new Promise<void>((resolve) => void this.#waiting.push(resolve))
  }

  leave(): void {
    const next = this.#waiting.shift()
    if (next) next()
    else this.#room += 1
  }
}
