import type { ClientBase } from 'pg'
import { requireQuery } from '../../db/scoped/allowed-statements.js'
import { randomStatements } from './random-statements.js'

/** Lists the state that callers have left in the session of a connection. */
export const sessionStateQuery = `
  select array(select relname::pg_catalog.text from pg_class where relnamespace = pg_my_temp_schema() and relkind in ('r', 'v', 'S'))
      || array(select ('lock ' || objid)::pg_catalog.text from pg_locks where locktype = 'advisory' and pid = pg_backend_pid())
      || array(
        select (name || ' = ' || setting)::pg_catalog.text from pg_settings
        where source = 'session' and name not in ('role', 'session_authorization', 'search_path', 'transaction_isolation',
          'transaction_read_only', 'transaction_deferrable') or name = 'search_path' and setting like '%temp%'
      )
      || array(select ('setting ' || s)::pg_catalog.text from nullif(current_setting('fuzz.left', true), '') s where s is not null)
      || array(select ('prepared ' || name)::pg_catalog.text from pg_prepared_statements where name not like 'trpc_bearer%')
    as left_behind`

/** Runs random statements as the application role, and returns those that left state behind although `judge` calls them harmless. */
export async function findMissedCleanups(
  client: ClientBase,
  { seed, count, judge }: { seed: number; count: number; judge: (text: string) => boolean },
) {
  const next = randomStatements(seed)
  const found = { ran: 0, left: 0, misjudged: [] as string[] }
  for (let n = 0; n < count; n++) {
    const text = next()
    try {
      requireQuery(text)
      await client.query("begin; set local role app_user; select set_config('app.user_id', 'fuzz', true)")
      await client.query({ text, values: [], queryMode: 'extended' } as object as { text: string })
      found.ran++
    } catch {
      // Invalid or refused. State that it left behind counts too.
    }
    await client.query('commit')
    const { rows } = await client.query<{ left_behind: string[] }>(sessionStateQuery)
    const left = rows[0]?.left_behind ?? []
    if (left.length === 0) continue
    found.left++
    if (!judge(text)) found.misjudged.push(`${text} leaves ${left}`)
    await client.query('discard all')
  }
  return found
}
