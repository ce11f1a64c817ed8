import { TRPCError } from '@trpc/server'
import type { DirectRequest } from './direct-request.js'

/** Parses and deserializes the inputs of a request when the first call reads its own, as tRPC's adapter does. */
export class DirectInputs {
  #inputs: Record<number, unknown> | undefined
  #failure: TRPCError | undefined

  /** The JSON; empty if the calls have no input. */
  text: string

  constructor(
    private readonly request: DirectRequest,
    private readonly transformer: { deserialize(input: unknown): unknown },
  ) {
    this.text = request.input
  }

  /** @throws TRPCError BAD_REQUEST, the same for each call */
  read(index: number): unknown {
    if (this.#failure !== undefined) throw this.#failure
    try {
      this.#inputs ??= this.#parse()
    } catch (cause) {
      const message = cause instanceof Error ? cause.message : 'Invalid input'
      this.#failure =
        cause instanceof TRPCError ? cause : new TRPCError({ code: 'BAD_REQUEST', message, cause })
      throw this.#failure
    }
    return this.#inputs[index]
  }

  /** The input if it was read already. */
  result(index: number): unknown {
    return this.#inputs?.[index]
  }

  #parse(): Record<number, unknown> {
    if (this.text === '') return {}
    const parsed: unknown = JSON.parse(this.text)
    if (!this.request.isBatch) return { 0: this.transformer.deserialize(parsed) }
    if (typeof parsed !== 'object' || parsed === null || Array.isArray(parsed)) {
      const message = '"input" needs to be an object when doing a batch call'
      throw new TRPCError({ code: 'BAD_REQUEST', message })
    }
    const inputs: Record<number, unknown> = {}
    for (let index = 0; index < this.request.calls.length; index++) {
      const input: unknown = Reflect.get(parsed, index)
      if (input !== undefined) inputs[index] = this.transformer.deserialize(input)
    }
    return inputs
  }
}
