import { expect, test } from 'vitest'
import { hasLongHost } from '../../shared/host-length.js'

const name = (length: number) => 'a'.repeat(length)

test.each([
  [`https://${name(253)}.:65535/`],
  [`https://user:${name(500)}@${name(253)}`],
  [`https://example.com/${name(500)}`],
  [`https://example.com?${name(500)}@`],
  [`https://example.com#${name(500)}`],
  [`data:${name(500)}`],
  [`mailto:${name(500)}`],
  [name(500)],
])('%s has a host of usual length, or none', url => {
  expect(hasLongHost(url)).toBe(false)
})

test.each([
  [`https://${name(261)}`],
  [`HTTPS:${name(261)}`],
  [`\t\0 h\nttps:/\\/${name(261)}`],
  [`ws://a@b@${name(261)}?`],
  [`file:////${name(261)}`],
  [`blob:https://${name(261)}`],
])('%s has a host that no URL can have', url => {
  expect(hasLongHost(url)).toBe(true)
})
