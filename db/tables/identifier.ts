/** A name as PostgreSQL reads it in a text of SQL, whatever is in it: for statements that Kysely cannot build. */
export function quoteIdentifier(name: string): string {
  return `"${name.replaceAll('"', '""')}"`
}
