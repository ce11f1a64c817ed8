import type { IncomingMessage } from 'node:http'
import type { AnyTRPCProcedure, AnyTRPCRouter } from '@trpc/server'
import type { HandlerSettings } from '../exchange.js'
import { procedurePath } from '../request-target.js'

/** A request that can be answered without tRPC's adapter: loaded queries, or mutations, as JSON. */
export interface DirectRequest {
  isBatch: boolean
  type: 'query' | 'mutation'
  calls: { path: string; procedure: AnyTRPCProcedure }[]
  method: 'GET' | 'POST'
  /** Of the URL, for a GET; empty if there is none. */
  input: string
  /** In bytes; 0 for a GET. */
  contentLength: number
  requestId: string | undefined
  host: string
}

/** The headers that decide. Any of them twice is left to the adapter. */
const decisive = new Set([
  'accept',
  'content-length',
  'content-type',
  'host',
  'transfer-encoding',
  'trpc-accept',
  'x-request-id',
])

// Nearly every request has the same one.
let lastHost = 'localhost'
const hostName = /^[\w.-]+(?::\d{1,5})?$/
// Without characters that a URL parser changes, so that the path is in its plain form.
const plainTarget = /^\/[\w.,/-]*(?:\?[!"$-~]*)?$/

/**
 * The border between the direct path and tRPC's adapter: null for everything rare, such as subscriptions, streams, forms, lazy routers
 * that are not loaded, chunked bodies, HTTP/2, unknown procedures and whatever is answered with an error before a procedure runs.
 */
export function directRequest(req: IncomingMessage, settings: HandlerSettings): DirectRequest | null {
  const { method, url = '' } = req
  if (req.httpVersionMajor !== 1 || (method !== 'GET' && method !== 'POST') || !plainTarget.test(url))
    return null
  const headers = decisiveHeaders(req.rawHeaders)
  if (headers === null || !isPlainJson(headers, method)) return null
  const contentLength = Number(headers.get('content-length') ?? 0)
  if (contentLength > (method === 'GET' ? 0 : settings.maxBodySize)) return null
  const host = headers.get('host') ?? ''
  if (host !== lastHost && !(hostName.test(host) && URL.canParse(`http://${host}`))) return null
  lastHost = host

  const query = url.indexOf('?')
  const path = procedurePath(query === -1 ? url : url.slice(0, query), settings.prefix)
  if (path === null) return null
  const params = query === -1 ? null : new URLSearchParams(url.slice(query + 1))
  if (params?.has('connectionParams')) return null
  const isBatch = params?.get('batch') === '1'
  const paths = isBatch ? path.split(',') : [path]
  if (paths.length > settings.maxBatchSize) return null
  const calls = loadedCalls(settings.router, paths)
  const type = calls?.[0]?.procedure._def.type
  if (calls === null || type === undefined || type === 'subscription') return null
  if (method === 'GET' && type !== 'query') return null
  if (calls.some(({ procedure }) => procedure._def.type !== type)) return null
  return {
    isBatch,
    type,
    calls,
    host,
    input: (method === 'GET' && params?.get('input')) || '',
    method,
    contentLength,
    requestId: headers.get('x-request-id'),
  }
}

function decisiveHeaders(raw: readonly string[]): Map<string, string> | null {
  const headers = new Map<string, string>()
  for (let index = 0; index < raw.length; index += 2) {
    const name = raw[index]?.toLowerCase() ?? ''
    if (!decisive.has(name)) continue
    if (headers.has(name)) return null
    headers.set(name, raw[index + 1] ?? '')
  }
  return headers
}

function isPlainJson(headers: Map<string, string>, method: 'GET' | 'POST'): boolean {
  if (headers.has('transfer-encoding') || headers.has('trpc-accept')) return false
  if (headers.get('accept')?.includes('jsonl')) return false
  const type = headers.get('content-type')?.split(';', 1)[0]?.trim().toLowerCase()
  return method === 'GET' || type === 'application/json'
}

function loadedCalls({ _def }: AnyTRPCRouter, paths: readonly string[]): DirectRequest['calls'] | null {
  const { procedures, _config } = _def
  // Older versions of tRPC have only this one, and no name for it.
  if ((_config.pathSeparator ?? '.') !== '.') return null
  const calls: DirectRequest['calls'] = []
  for (const path of paths) {
    const procedure: unknown = Object.hasOwn(procedures, path) ? procedures[path] : undefined
    if (typeof procedure !== 'function') return null
    calls.push({ path, procedure: procedure as AnyTRPCProcedure })
  }
  return calls
}

/** The URL as the Fetch endpoint sees it. */
export function urlOf({ socket, url }: IncomingMessage, { host }: DirectRequest): string {
  return `${'encrypted' in socket && socket.encrypted ? 'https' : 'http'}://${host}${url}`
}
