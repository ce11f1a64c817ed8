import express from 'express'
import { bearerToken, createVerifier } from 'trpc-bearer/verifier'

const issuer = process.env.BETTER_AUTH_URL ?? 'http://localhost:4000'
const verifier = createVerifier({ issuer, audience: issuer })

const app = express()
app.get('/me', async (req, res) => void res.json(await verifier.verify(bearerToken(req))))
export const server = app.listen(Number(process.env.PORT ?? 3001))
