import { inspect } from 'node:util'
import { z } from 'zod'
import type { User } from '../../../shared/user.js'
import { type Case, type Options, stubKeySets, verifierOf } from './token-case.js'
import { good } from './token-fixtures.js'

class Person {
  readonly #roles = ['member']
  constructor(public id: string) {}
  get roles() {
    return this.#roles
  }
}

const made = (rest: (id: string) => object) =>
  z.object({ sub: z.string() }).transform(({ sub }): User => ({ id: sub, ...rest(sub) }))
const nested = z
  .object({ sub: z.string() })
  .transform(({ sub }) => ({ id: sub, groups: [{ roles: ['member'] }] }))

type Change = (user: User) => unknown
const member = (user: User, name: string) => Reflect.get(user, name)

/** What the schema of the application makes, and how a request changes it. */
const changes: Record<string, [schema: NonNullable<Options['user']>, change: Change]> = {
  'a list in its user': [nested, user => member(user, 'groups').push({ roles: ['admin'] })],
  'a list deep in its user': [nested, user => member(user, 'groups')[0].roles.push('admin')],
  'a list in a user that zod made readonly': [
    nested.readonly(),
    user => member(user, 'groups')[0].roles.push('admin'),
  ],
  'its user of a class': [
    z.object({ sub: z.string() }).transform(({ sub }) => new Person(sub)),
    user => Reflect.set(user, 'id', 'admin'),
  ],
  'what its user of a class keeps to itself': [
    z.object({ sub: z.string() }).transform(({ sub }) => new Person(sub)),
    user => member(user, 'roles').push('admin'),
  ],
  'a user that holds one of a class': [
    made(id => ({ person: new Person(id) })),
    user => Reflect.set(member(user, 'person'), 'id', 'admin'),
  ],
  'a Date in its user': [made(() => ({ since: new Date(0) })), user => member(user, 'since').setTime(1)],
  'a Map in its user': [made(() => ({ roles: new Map() })), user => member(user, 'roles').set('admin', true)],
  'a Map in its user that was given another prototype': [
    made(() => ({ roles: Object.setPrototypeOf(new Map(), null) })),
    user => Map.prototype.set.call(member(user, 'roles'), 'admin', true),
  ],
  'a Set deep in its user': [
    made(() => ({ all: [{ roles: new Set() }] })),
    user => member(user, 'all')[0].roles.add('admin'),
  ],
  'bytes in its user': [made(() => ({ key: new Uint8Array(2) })), user => member(user, 'key').fill(1)],
  'what its user sets by a setter': [
    z.object({ sub: z.string() }).transform(({ sub }): User => {
      let email = 'alice@example.com'
      return {
        id: sub,
        get email() {
          return email
        },
        set email(value) {
          email = value
        },
      }
    }),
    user => Reflect.set(user, 'email', 'admin@example.com'),
  ],
  'its user behind a proxy': [
    z.object({ sub: z.string() }).transform(({ sub }): User => new Proxy({ id: sub }, {})),
    user => Reflect.set(user, 'id', 'admin'),
  ],
  'a ring in its user': [
    made(() => {
      const ring: { name: string; self?: object } = { name: 'member' }
      ring.self = ring
      return { ring }
    }),
    user => Reflect.set(member(user, 'ring').self, 'name', 'admin'),
  ],
}

/** No request can change the user of the next one. */
export const knownUserCases: Case[] = [
  ...Object.entries(changes).map(
    ([what, [schema, change]]): Case => [
      `known: a request changes ${what}`,
      'the same',
      async create => {
        using _ = stubKeySets()
        const verifier = verifierOf(create, { user: schema })
        const look = async () => {
          const user = await verifier.verify(good)
          return inspect([user, member(user, 'roles')], { depth: null, getters: true })
        }
        const before = await look()
        const [first, second] = await Promise.all([verifier.verify(good), verifier.verify(good)])
        for (const user of [first, second]) tryTo(change, user)
        const after = await look()
        return before === after ? 'the same' : 'another'
      },
    ],
  ),
  [
    'known: what a user refers to stays its owner’s to change',
    'not frozen',
    async create => {
      using _ = stubKeySets()
      const tenant = { name: 'milk', seats: { used: 1 } }
      const verifier = verifierOf(create, { user: made(() => ({ tenant })) })
      await verifier.verify(good)
      return Object.isFrozen(tenant) || Object.isFrozen(tenant.seats) ? 'frozen' : 'not frozen'
    },
  ],
  [
    'two first sights at once: one changes its user of a class',
    'alice',
    async create => {
      using _ = stubKeySets()
      const user = z.object({ sub: z.string() }).transform(({ sub }) => new Person(sub))
      const verifier = verifierOf(create, { user })
      const [one, other] = await Promise.all([verifier.verify(good), verifier.verify(good)])
      Reflect.set(one, 'id', 'admin')
      return other.id
    },
  ],
]

function tryTo(change: Change, user: User) {
  try {
    change(user)
  } catch (error) {
    // Frozen objects throw a TypeError.
    if (!(error instanceof TypeError)) throw error
  }
}
