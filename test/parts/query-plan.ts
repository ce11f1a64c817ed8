import { CompiledQuery, type Kysely, sql } from 'kysely'
import pg from 'pg'
import { z } from 'zod'
import type { Database } from '../../db/index.js'
import { createIdentify } from '../../db/scoped/identity.js'

const node = z.object({
  'Node Type': z.string(),
  'Relation Name': z.string().optional(),
  'Parent Relationship': z.string().optional(),
  'Index Cond': z.string().optional(),
  Filter: z.string().optional(),
  'Actual Rows': z.number(),
  'Actual Loops': z.number(),
  'Rows Removed by Filter': z.number().default(0),
  'Shared Hit Blocks': z.number(),
  'Shared Read Blocks': z.number(),
  get Plans(): z.ZodOptional<z.ZodArray<typeof node>> {
    return z.array(node).optional()
  },
})
type Node = z.output<typeof node>
const explained = z.tuple([z.object({ 'QUERY PLAN': z.tuple([z.object({ Plan: node })]) })])

/** Tasks that a page of 20 reads: one more shows whether there is a next page. */
export const page = 21

/** PostgreSQL plans a prepared statement for its values first, and may use one generic plan after five runs. */
export const planKinds = ['custom', 'generic'] as const

/** The user that runs a statement, and the kind of its plan. */
export interface Run {
  userId: string
  secret: string
  kind: (typeof planKinds)[number]
}

/** What a statement did on a scoped handle. Its changes are rolled back. */
export interface Plan {
  /** Problems of the plan: empty if an index that starts with the user found every row. */
  faults: string[]
  /** Rows that were read. */
  reads: number
  /** Pages of 8 kB that were read. */
  buffers: number
}

/** Runs a statement under `explain analyze`, with the identity of a scoped handle. */
export async function planOf(db: Kysely<Database>, statement: CompiledQuery, run: Run): Promise<Plan> {
  const identify = createIdentify({
    secret: run.secret,
    prepare: () => false,
    searchPath: () => 'public, pg_temp',
  })
  const { standard } = identify({ userId: run.userId, role: 'app_user', statementTimeout: 60_000 })
  const { text, values = [] } = standard
  const parameters = statement.parameters.map(value =>
    value === null ? 'null' : pg.escapeLiteral(String(value)),
  )
  const trx = await db.startTransaction().execute()
  try {
    await trx.executeQuery(CompiledQuery.raw(text, [...values]))
    await sql`select set_config('plan_cache_mode', ${`force_${run.kind}_plan`}, true)`.execute(trx)
    await sql.raw(`prepare planned as ${statement.sql}`).execute(trx)
    const { rows } = await sql
      .raw(
        `explain (analyze, buffers, format json) execute planned ${parameters.length > 0 ? `(${parameters})` : ''}`,
      )
      .execute(trx)
    await sql`deallocate planned`.execute(trx)
    const [{ 'QUERY PLAN': plans }] = explained.parse(rows)
    return summaryOf(plans[0].Plan)
  } finally {
    await trx.rollback().execute()
  }
}

function summaryOf(plan: Node): Plan {
  const nodes = [...nodesOf(plan)]
  const scans = nodes.filter(
    node => node['Relation Name'] !== undefined && node['Node Type'].endsWith('Scan'),
  )
  const reads = scans.map(
    scan => (scan['Actual Rows'] + scan['Rows Removed by Filter']) * scan['Actual Loops'],
  )
  return {
    faults: [...nodes.flatMap(faultsOf), ...(nodes.some(isInitPlan) ? [] : ['no policy'])],
    reads: reads.reduce((sum, rows) => sum + rows, 0),
    buffers: plan['Shared Hit Blocks'] + plan['Shared Read Blocks'],
  }
}

function* nodesOf(node: Node): Generator<Node> {
  yield node
  for (const child of node.Plans ?? []) yield* nodesOf(child)
}

function faultsOf(node: Node): string[] {
  const type = node['Node Type']
  const found: [string, boolean][] = [
    [`${type} of ${node['Relation Name']}`, /Seq Scan|Function Scan/.test(type)],
    [`${type} of more than a page`, type.includes('Sort') && rowsOf(node.Plans?.[0]) > page],
    [`${type} without a user`, type.includes('Index') && !node['Index Cond']?.includes('user_id =')],
    [`${type} asks each row for its user`, withoutFirstPolicy(node.Filter).includes('user_id')],
    ['identity asked more than once', isInitPlan(node) && node['Actual Loops'] > 1],
    ['identity asked for each row', node['Parent Relationship'] === 'SubPlan'],
  ]
  return found.filter(([, isFault]) => isFault).map(([fault]) => fault)
}

/** Each row is compared once more by the policy `own_rows_first`. */
const withoutFirstPolicy = (filter = '') => filter.replace(/CASE WHEN .*? END IS NOT NULL/, '')

const isInitPlan = (node: Node) => node['Parent Relationship'] === 'InitPlan'

const rowsOf = (node: Node | undefined) =>
  node === undefined ? 0 : node['Actual Rows'] * node['Actual Loops']
