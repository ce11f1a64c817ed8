import pg from 'pg'

/** Runs statements on a connection of their own, as the login of the URL; the rows of all. */
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
