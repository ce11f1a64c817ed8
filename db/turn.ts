/** Held by who keeps the others waiting. */
export class Turn {
  /** Resolves when the one who has it is done; null while it is free. */
  ended: Promise<void> | null = null

  /** @returns what lets the others go on */
  take(): () => void {
    let end = () => {}
    this.ended = new Promise<void>(done => {
      end = () => {
        this.ended = null
        done()
      }
    })
    return end
  }
}
