/** So many characters of a secret give it away: what is cut short in a log is found too. */
const telling = 20

/** What a run has written, by where it stands, and the secrets that were used in it. */
export class OutputLog {
  readonly #secrets = new Set<string>()
  readonly #texts: { where: string; text: string }[] = []

  /** Remembers a secret, by default a new one, and answers it. */
  secret(text: string = crypto.randomUUID()): string {
    if (text.length < 16) throw new Error(`Too short to be found for sure: ${text}`)
    this.#secrets.add(text)
    return text
  }

  /** Remembers a token, whose parts are secrets each. */
  token(token: string): string {
    for (const part of token.split('.')) if (part !== '') this.secret(part)
    return token
  }

  /** Remembers a cookie by its value, whose parts are secrets each. */
  cookie(cookie: string): void {
    this.token(decodeURIComponent(cookie.slice(cookie.indexOf('=') + 1)))
  }

  get secrets(): string[] {
    return [...this.#secrets]
  }

  add(where: string, text: string): void {
    this.#texts.push({ where, text })
  }

  /** All of what stands in one place. */
  textOf(where: string): string {
    return this.#texts.flatMap(one => (one.where === where ? one.text : [])).join('\n')
  }

  /** Where a secret stands, as it is or as URLs and Base64 have it, cut short or not. */
  find(secret: string): string[] {
    const forms = [secret, encodeURIComponent(secret), btoa(secret)].map(form => form.slice(0, telling))
    const found = this.#texts.filter(({ text }) => forms.some(form => text.includes(form)))
    return [...new Set(found.map(({ where }) => where))]
  }

  /** The secrets that stand somewhere, and where. */
  leaks(): { secret: string; places: string[] }[] {
    return this.secrets
      .map(secret => ({ secret, places: this.find(secret) }))
      .filter(({ places }) => places.length > 0)
  }
}
