/** A prefix of this length counts as the secret, so that truncated text is found too. */
const telling = 20

/** The output of a run by place, and the secrets used in the run. */
export class OutputLog {
  readonly #secrets = new Set<string>()
  readonly #texts: { where: string; text: string }[] = []

  /** Adds a secret, by default a new one, and returns it. */
  secret(text: string = crypto.randomUUID()): string {
    if (text.length < 16) throw new Error(`Too short to be found for sure: ${text}`)
    this.#secrets.add(text)
    return text
  }

  /** Adds each part of a token as a secret. */
  token(token: string): string {
    for (const part of token.split('.')) if (part !== '') this.secret(part)
    return token
  }

  /** Adds each part of the value of a cookie as a secret. */
  cookie(cookie: string): void {
    this.token(decodeURIComponent(cookie.slice(cookie.indexOf('=') + 1)))
  }

  get secrets(): string[] {
    return [...this.#secrets]
  }

  add(where: string, text: string): void {
    this.#texts.push({ where, text })
  }

  /** All text of one place. */
  textOf(where: string): string {
    return this.#texts.flatMap(one => (one.where === where ? one.text : [])).join('\n')
  }

  /** The places that contain a secret: as it is, URL-encoded or in Base64, truncated or not. */
  find(secret: string): string[] {
    const forms = [secret, encodeURIComponent(secret), btoa(secret)].map(form => form.slice(0, telling))
    const found = this.#texts.filter(({ text }) => forms.some(form => text.includes(form)))
    return [...new Set(found.map(({ where }) => where))]
  }

  /** The secrets that were found, with their places. */
  leaks(): { secret: string; places: string[] }[] {
    return this.secrets
      .map(secret => ({ secret, places: this.find(secret) }))
      .filter(({ places }) => places.length > 0)
  }
}
