import pg from 'pg'

/** Runs statements on a new connection, and returns all their rows. */
export async function runSql(url: string, ...statements: string[]) {
  const client = new pg.Client({ connectionString: url })
  await client.connect()
  try {
    const results: pg.QueryResult[] = []
    for (const statement of statements) results.push(await client.query(statement))
    return results.flatMap(result => result.rows)
  } finally {
    await client.end()
  }
}
