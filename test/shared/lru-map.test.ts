import { expect, test } from 'vitest'
import { LruMap } from '../../shared/lru-map.js'

const fill = (map: LruMap<string, number>, keys: string) => {
  for (const key of keys) map.set(key, 1)
}
const keysOf = (map: LruMap<string, number>) => [...'abcdef'].filter(key => map.has(key)).join('')

test('a full map drops the entry that was used least recently', () => {
  const map = new LruMap<string, number>({ maxEntries: 3 })
  fill(map, 'abc')
  expect(map.get('a')).toBe(1)
  map.set('d', 1)
  expect(keysOf(map)).toBe('acd')
  map.set('c', 2)
  fill(map, 'ef')
  expect([keysOf(map), map.get('c'), map.get('a')]).toEqual(['cef', 2, undefined])
})

test('the size of all keys is limited too, and a key that is too large is not kept', () => {
  const map = new LruMap<string, number>({ maxEntries: 10, maxSize: 5, sizeOf: key => key.length })
  for (const key of ['aa', 'bb', 'c', 'dd']) map.set(key, 1)
  expect(['aa', 'bb', 'c', 'dd'].map(key => map.has(key))).toEqual([false, true, true, true])
  map.set('bb', 2)
  map.set('eeee', 1)
  expect(['bb', 'c', 'dd', 'eeee'].map(key => map.has(key))).toEqual([false, false, false, true])
  map.set('ffffff', 1)
  expect(map.has('ffffff')).toBe(false)
  map.set('ggggg', 1)
  expect(map.has('ggggg')).toBe(true)
})

test('an entry can be deleted, and a map can be cleared and filled again', () => {
  const map = new LruMap<string, number>({ maxEntries: 2, maxSize: 2, sizeOf: () => 1 })
  fill(map, 'abc')
  map.delete('b')
  map.delete('b')
  fill(map, 'd')
  expect(keysOf(map)).toBe('cd')
  map.clear()
  expect(keysOf(map)).toBe('')
  fill(map, 'abc')
  expect(keysOf(map)).toBe('bc')
})

test('a map that is used a lot drops the same entries as a list of all uses would', () => {
  const map = new LruMap<string, number>({ maxEntries: 50 })
  let used: string[] = []
  let state = 1
  for (let n = 0; n < 20_000; n++) {
    state = (state * 48_271) % 2_147_483_647
    const key = String(state % 120)
    expect(map.has(key)).toBe(used.includes(key))
    if (map.get(key) === undefined) map.set(key, n)
    used = [...used.filter(one => one !== key), key].slice(-50)
  }
})
