import * as verifiers from 'trpc-bearer/verifier'

export { verifiers }
export const verifier = verifiers.createVerifier({ issuer: 'https://auth.example.com', audience: 'api' })
export const verified = verifier.verify('')
export const status = verifier.status()
export const token = verifiers.bearerToken({ headers: {} })
export const checkScope = verifiers.checkScope
