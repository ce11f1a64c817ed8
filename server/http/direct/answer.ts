import type { IncomingMessage } from 'node:http'
import * as trpc from '@trpc/server'
import { TRPCError } from '@trpc/server'
import { getHTTPStatusCode, type TRPCRequestInfo } from '@trpc/server/http'
import type { TRPCErrorShape } from '@trpc/server/rpc'
import type { Context } from '../../trpc/context.js'
import { requireTrpc } from '../../trpc/trpc-version.js'
import { type BodySource, givenBody, readIncoming } from '../body.js'
import type { Exchange } from '../exchange.js'
import type { ResponseMeta } from '../response-headers.js'
import { type DirectRequest, urlOf } from './direct-request.js'
import { DirectInputs } from './inputs.js'

const getTRPCErrorShape = requireTrpc(trpc.getTRPCErrorShape)
const getTRPCErrorFromUnknown = requireTrpc(trpc.getTRPCErrorFromUnknown)

export interface Answer {
  status: number
  body: string
  /** Null for {@link usualHeaders}. */
  headers: Headers | null
}

type Result = { error: TRPCError } | { error?: undefined; data: unknown }
type Item = { error: TRPCErrorShape } | { result: { data: unknown } }
type Call = TRPCRequestInfo['calls'][number]

const text = new TextDecoder()

/** What tRPC's `resolveResponse` does with queries and mutations that are no streams. */
export class DirectAnswer {
  #ctx: Context | undefined
  #headers: Headers | null = null
  readonly #inputs: DirectInputs

  constructor(
    private readonly req: IncomingMessage & BodySource,
    private readonly request: DirectRequest,
    private readonly exchange: Exchange,
    private readonly signal: AbortSignal,
  ) {
    this.#inputs = new DirectInputs(request, this.#config.transformer.input)
  }

  get #config() {
    return this.exchange.settings.router._def._config
  }

  async make(): Promise<Answer> {
    const { request, exchange } = this
    if (request.method === 'POST') this.#inputs.text = await this.#readBody()
    const info = this.#info()
    const failure = await this.#createContext(info)
    const results = await Promise.all(info.calls.map(call => this.#call(call, failure)))
    try {
      const answered = results.map(result => this.#withoutStream(result))
      const items = answered.map((result, index) => this.#itemOf(result, info.calls[index]))
      return this.#answer(info, request.isBatch ? items : items[0], answered)
    } catch (cause) {
      const error = getTRPCErrorFromUnknown(cause)
      exchange.fail(error)
      return this.#answer(info, { error: this.#shapeOf(error) }, [{ error }])
    }
  }

  async #readBody(): Promise<string> {
    const { req, request, exchange } = this
    const maxBytes = exchange.settings.maxBodySize
    const isEmpty = request.contentLength === 0
    const body =
      givenBody(req, { maxBytes, isEmpty, isJson: true }) ??
      (isEmpty ? '' : await readIncoming(req, maxBytes))
    // A text is decoded too, because Fetch does so: lone surrogates and a byte order mark.
    return text.decode(typeof body === 'string' ? Buffer.from(body) : body)
  }

  #info(): TRPCRequestInfo {
    const { req, request, signal } = this
    const inputs = this.#inputs
    let url: URL | undefined
    return {
      accept: null,
      type: request.type,
      isBatchCall: request.isBatch,
      calls: request.calls.map(({ path, procedure }, batchIndex) => ({
        path,
        procedure,
        batchIndex,
        getRawInput: async () => inputs.read(batchIndex),
        result: () => inputs.result(batchIndex),
      })),
      connectionParams: null,
      signal,
      get url() {
        url ??= new URL(urlOf(req, request))
        return url
      },
    }
  }

  /** @returns what each call fails with */
  async #createContext(info: TRPCRequestInfo): Promise<TRPCError | undefined> {
    try {
      this.#ctx = await this.exchange.createContext(this.req, info)
      return undefined
    } catch (cause) {
      return getTRPCErrorFromUnknown(cause)
    }
  }

  async #call(
    { path, procedure, getRawInput, batchIndex }: Call,
    failure: TRPCError | undefined,
  ): Promise<Result> {
    const { type } = this.request
    try {
      if (failure !== undefined) throw failure
      const data = await procedure?.({
        path,
        getRawInput,
        ctx: this.#ctx,
        type,
        signal: this.signal,
        batchIndex,
      })
      return { data }
    } catch (cause) {
      const error = getTRPCErrorFromUnknown(cause)
      this.exchange.fail(error, path)
      return { error }
    }
  }

  /** @throws TRPCError UNSUPPORTED_MEDIA_TYPE for a stream that is no part of a batch */
  #withoutStream(result: Result): Result {
    if (result.error !== undefined || !isStreamed(result.data)) return result
    const message = 'Cannot use stream-like response in non-streaming request - use httpBatchStreamLink'
    const error = new TRPCError({ code: 'UNSUPPORTED_MEDIA_TYPE', message })
    if (!this.request.isBatch) throw error
    return { error }
  }

  #itemOf(result: Result, call: Call | undefined): Item {
    return result.error === undefined
      ? { result: { data: result.data } }
      : { error: this.#shapeOf(result.error, call) }
  }

  #shapeOf(error: TRPCError, call?: Call): TRPCErrorShape {
    const { type } = this.request
    return getTRPCErrorShape({
      config: this.#config,
      error,
      path: call?.path,
      input: call?.result(),
      ctx: this.#ctx,
      type,
    })
  }

  #answer(info: TRPCRequestInfo, json: Item | Item[] | undefined = [], results: Result[]): Answer {
    const all = results.map(({ error }) => error)
    const errors = all.filter(error => error !== undefined)
    const meta = this.exchange.responseMeta({
      ctx: this.#ctx,
      info,
      paths: info.calls.map(({ path }) => path),
      data: Array.isArray(json) ? json : [json],
      errors,
      eagerGeneration: false,
      type: this.request.type,
    })
    const status = meta.status || (errors.length === 0 ? 200 : getHTTPStatusCode(json, all))
    if (meta.headers || meta.status) this.#headers ??= usualHeaders()
    if (this.#headers !== null) appendHeaders(this.#headers, meta.headers)
    const { output } = this.#config.transformer
    const body = JSON.stringify(
      Array.isArray(json) ? json.map(item => serialized(item, output)) : serialized(json, output),
    )
    // Fetch refuses some headers and codes of the application.
    const headers = this.#headers && new Response(body, { status, headers: this.#headers }).headers
    return { status, body, headers }
  }
}

/** As tRPC's `transformTRPCResponse` for items of these two kinds. */
const serialized = (item: Item, output: { serialize(value: unknown): unknown }) =>
  'error' in item
    ? { error: output.serialize(item.error) }
    : { result: { data: output.serialize(item.result.data) } }

/** What tRPC sets for an answer in one piece. */
export const usualHeaders = () =>
  new Headers({ vary: 'trpc-accept, accept', 'content-type': 'application/json' })

function appendHeaders(headers: Headers, given: ReturnType<ResponseMeta>['headers']): void {
  if (given instanceof Headers) for (const [name, value] of given) headers.append(name, value)
  else
    for (const [name, value] of Object.entries(given ?? {})) {
      if (Array.isArray(value)) for (const one of value) headers.append(name, one)
      else if (typeof value === 'string') headers.set(name, value)
    }
}

const isObject = (value: unknown): value is object =>
  typeof value === 'object' && value !== null && !Array.isArray(value)

const isAsyncIterable = (value: unknown) => isObject(value) && Symbol.asyncIterator in value

const isPromise = (value: unknown) =>
  (isObject(value) || typeof value === 'function') &&
  typeof Reflect.get(value, 'then') === 'function' &&
  typeof Reflect.get(value, 'catch') === 'function'

const isStreamed = (data: unknown): boolean =>
  isObject(data) &&
  (isAsyncIterable(data) || Object.values(data).some(value => isPromise(value) || isAsyncIterable(value)))
