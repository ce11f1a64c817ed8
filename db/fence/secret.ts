/** Shortest secret that signs the identity, in characters: whoever is shown a signature could try all that are much shorter. */
export const minFenceSecret = 32

/** @throws TypeError for a secret that is too short */
export function requireFenceSecret(secret: string): void {
  if (secret.length < minFenceSecret)
    throw new TypeError(
      `The fence's secret must have ${minFenceSecret} characters or more: openssl rand -hex 32 makes one.`,
    )
}
