import { expect, test } from 'vitest'
import { withTimeout } from '../../shared/timeout.js'

test('a promise that does not settle in time is a TimeoutError', async () => {
  await expect(withTimeout(new Promise(() => {}), 1)).rejects.toMatchObject({ name: 'TimeoutError' })
  expect(await withTimeout(Promise.resolve('done'), 1)).toBe('done')
})
