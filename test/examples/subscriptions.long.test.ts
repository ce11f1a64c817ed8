import { createServer } from 'node:http'
import { createTRPCClient, createWSClient, wsLink } from '@trpc/client'
import { expect, inject, test } from 'vitest'
import { WebSocket } from 'ws'
import { openDatabase } from '../../db/index.js'
import { createLiveClient } from '../../examples/subscriptions/client.js'
import { liveRouter } from '../../examples/subscriptions/router.js'
import { serveWebSocket } from '../../examples/subscriptions/web-socket.js'
import { createVerifier } from '../../server/index.js'
import { transformer } from '../../shared/index.js'
import { startApp } from '../parts/app.js'
import { listen } from '../parts/listen.js'
import { startTokenApi } from '../parts/token-api.js'

test('a subscription goes on with a new token each time its token expires', async () => {
  await using api = await startTokenApi(liveRouter)
  // With the tolerance of five seconds a token is good for six more seconds.
  const getToken = () => api.mint({ sub: 'lea', ahead: -10, life: 11 })
  const counts: number[] = []
  await new Promise<void>((done, fail) => {
    const subscription = createLiveClient(api.url, getToken).ticks.subscribe(undefined, {
      onData({ data }) {
        expect(data.user).toBe('lea')
        counts.push(data.count)
        if (counts.length < 15) return
        subscription.unsubscribe()
        done()
      },
      onError: fail,
    })
  })
  expect(counts).toEqual(Array.from({ length: 15 }, (_, index) => index + 1))
  const tokens = new Set(api.requests.map(({ token }) => token))
  expect(tokens.size).toBeGreaterThanOrEqual(3)
  for (const token of tokens) expect(api.requests.some(({ url }) => url.includes(token ?? ''))).toBe(false)
})

test('by WebSocket a subscription runs as the user of connectionParams, and ends without one', async () => {
  await using issuer = await startApp()
  const database = await openDatabase({ url: inject('postgresUrl') })
  const verifier = createVerifier({ issuer: issuer.url, audience: issuer.url })
  const server = createServer()
  serveWebSocket(server, { verifier, database, onRefusal() {} })
  await using host = await listen(server)

  const firstOf = async (token: string) => {
    const url = `${host.url.replace('http', 'ws')}/live`
    const client = createWSClient({ url, WebSocket: WebSocket as never, connectionParams: { token } })
    const api = createTRPCClient<typeof liveRouter>({ links: [wsLink({ client, transformer })] })
    const answer = await new Promise(done => {
      const onError = (error: { data?: { reason?: string } | null }) => done(error.data?.reason)
      api.ticks.subscribe(undefined, { onData: ({ data }) => done(data.user), onError })
    })
    await client.close()
    return answer
  }
  const ann = await issuer.as('ann').me.query()
  expect(await firstOf(await issuer.tokenOf('ann'))).toBe(ann.id)
  expect(await firstOf('')).toBe('missing')
  expect(await firstOf('a.b.c')).toBe('malformed')
  await database.close()
})
