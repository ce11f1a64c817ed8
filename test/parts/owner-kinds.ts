import { sql } from 'kysely'
import { type OpenDatabase, protectTable } from '../../db/index.js'
import type { OwnerType } from '../../db/tables/owner.js'
import type { User } from '../../shared/user.js'

declare module 'trpc-bearer/shared' {
  interface User {
    orgId?: string
  }
}

/** A protected table with the columns id, title and notes, and the value of the caller that owns its rows. */
export interface OwnedTable {
  name: 'tasks' | 'things'
  owner: string
  /** As the column is created. */
  type: string
  by: 'user' | 'org'
}

/** A caller and whose rows they have: null if none, because they have no such value or it does not fit the type. */
export interface Caller {
  user: User
  owns: Record<OwnedTable['by'], string | null>
}

/** Tables of one kind of owner, and callers who are easy to mistake for each other. */
export interface OwnerKind {
  name: string
  tables: readonly [OwnedTable, ...OwnedTable[]]
  callers: readonly Caller[]
}

/** The option of `openDatabase` for all kinds. */
export const owners = { org: (user: User) => user.orgId }

const [aUuid, bUuid] = ['a1b2c3d4-0000-4000-8000-00000000000a', 'a1b2c3d4-0000-4000-8000-00000000000b']
const longest = 'x'.repeat(36)

/** Ids that own rows, and ids that another conversion would take for one of those. */
const idsOf: Record<OwnerType, { type: string; ids: string[]; misfits: string[] }> = {
  text: { type: 'text', ids: ['alice', 'Alice', 'alice ', 'bob'], misfits: [] },
  'character varying': {
    type: 'varchar(36)',
    ids: [longest, longest.slice(1), 'alice'],
    misfits: [`${longest}x`],
  },
  uuid: { type: 'uuid', ids: [aUuid, bUuid], misfits: [aUuid.toUpperCase(), `{${bUuid}}`] },
  integer: { type: 'integer', ids: ['7', '70', '-2147483648'], misfits: ['07', '4294967303'] },
  bigint: { type: 'bigint', ids: ['7', '9223372036854775807'], misfits: ['07', '18446744073709551623'] },
}

const types = Object.keys(idsOf) as OwnerType[]
const tasks: OwnedTable = { name: 'tasks', owner: 'user_id', type: 'text', by: 'user' }

function ofUsers(name: OwnerType): OwnerKind {
  const { type, ids, misfits } = idsOf[name]
  return {
    name,
    tables: [name === 'text' ? tasks : { name: 'things', owner: 'person', type, by: 'user' }],
    callers: [
      ...ids.map(id => ({ user: { id }, owns: { user: id, org: null } })),
      ...misfits.map(id => ({ user: { id }, owns: { user: null, org: null } })),
    ],
  }
}

/** Rows of users beside rows of organisations. The id of one user is the name of another's organisation. */
function ofOrganisations(name: OwnerType): OwnerKind {
  const { type, ids, misfits } = idsOf[name]
  const [acme = '', globex = ''] = ids
  const member = (id: string, orgId: string, org: string | null = orgId): Caller => ({
    user: { id, orgId },
    owns: { user: id, org },
  })
  return {
    name: `organisations, ${name}`,
    tables: [tasks, { name: 'things', owner: 'org_id', type, by: 'org' }],
    callers: [
      member('bob', acme),
      member('aaron', acme),
      member(acme, globex),
      { user: { id: 'nobody' }, owns: { user: 'nobody', org: null } },
      { user: { id: globex }, owns: { user: globex, org: null } },
      ...misfits.map((orgId, index) => member(`misfit-${index}`, orgId, null)),
    ],
  }
}

/** Every kind of owner. The first has rows of users and of organisations, both text. */
export const ownerKinds: readonly OwnerKind[] = [...types.map(ofOrganisations), ...types.map(ofUsers)]

const kindsOfThisRun = new RegExp(`^(${process.env.OWNER_KINDS ?? 'organisations, text|uuid'})$`)

/** The kinds of `npm test`; `npm run test:long` tries all, unless OWNER_KINDS says otherwise. */
export const ownerKindsOfThisRun = ownerKinds.filter(({ name }) => kindsOfThisRun.test(name))

/** The owned table of a kind in which callers are most easily mistaken: that of the organisations if there is one. */
export function lastTable({ tables }: OwnerKind): OwnedTable {
  return tables.at(-1) ?? tables[0]
}

/** Two callers who own different rows of the table. */
export function twoCallers({ callers }: OwnerKind, { by }: OwnedTable) {
  const found = callers.flatMap(({ user, owns }) => {
    const owner = owns[by]
    return owner === null ? [] : [{ user, owner }]
  })
  const [attacker] = found
  const victim = found.find(({ owner }) => owner !== attacker?.owner)
  if (attacker === undefined || victim === undefined) throw new Error('The kind has only one owner.')
  return { attacker, victim }
}

/** Creates and protects the tables of a kind, except `tasks`, which the migration has created. */
export async function createOwnedTables(
  { admin }: Pick<OpenDatabase, 'admin'>,
  { tables }: Pick<OwnerKind, 'tables'>,
) {
  for (const { name, owner, type, by } of tables) {
    if (name === 'tasks') continue
    await sql`
      create table ${sql.table(name)} (
        id uuid, ${sql.ref(owner)} ${sql.raw(type)} not null, title text not null, notes text not null default '',
        primary key (${sql.ref(owner)}, id)
      )`.execute(admin)
    await protectTable(admin, name, { owner, by })
  }
}
