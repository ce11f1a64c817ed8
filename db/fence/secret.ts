/** Minimum length of `FENCE_SECRET`, in characters. A shorter secret could be guessed from one known signature. */
export const minFenceSecret = 32

/** @throws TypeError if the secret is too short */
export function requireFenceSecret(secret: string): void {
  if (secret.length < minFenceSecret)
    throw new TypeError(
      `The fence secret must have at least ${minFenceSecret} characters. Create one with: openssl rand -hex 32`,
    )
}
