import { vi } from 'vitest'

/** Waits until `check` does not throw, up to ten seconds: the default of one second is short beside other tests. */
export const waitFor = <T>(
  check: () => T | Promise<T>,
  options: { timeout?: number; interval?: number } = {},
) => vi.waitFor(check, { timeout: 10_000, ...options })
