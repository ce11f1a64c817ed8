import { requireDatabaseUrl } from './bench-database.js'
import { measurePages } from './pages.js'
import { measureStatements } from './statements.js'

/** Prints the cost of the isolation. DATABASE_URL is a PostgreSQL over TCP whose login may create databases. */
const url = requireDatabaseUrl()

const us = await measureStatements(url)
const pages = await measurePages(url)

console.table(Object.fromEntries(Object.entries(us).map(([name, time]) => [name, { us: Math.round(time) }])))
console.table({
  plain: {
    'first page, us': Math.round(pages.plain.first),
    'deepest page, us': Math.round(pages.plain.deepest),
  },
  signed: {
    'first page, us': Math.round(pages.signed.first),
    'deepest page, us': Math.round(pages.signed.deepest),
  },
})

type Name = keyof typeof us
/** Speed relative to another run. */
const speed = (name: Name, base: Name) => (us[base] / us[name]).toFixed(2)
console.table({
  'plain : the same statement on pg': speed('scoped, plain', 'pg, no isolation'),
  'signed : the same statement on pg': speed('scoped, signed', 'pg, no isolation'),
  'plain : pg prepared by hand': speed('scoped, plain', 'pg prepared by hand, no isolation'),
  'signed : pg prepared by hand': speed('scoped, signed', 'pg prepared by hand, no isolation'),
  'plain : the same statement on pg, uuid': speed('scoped, plain, uuid', 'pg, no isolation, uuid'),
  'signed : the same statement on pg, uuid': speed('scoped, signed, uuid', 'pg, no isolation, uuid'),
  'plain : pg prepared by hand, uuid': speed(
    'scoped, plain, uuid',
    'pg prepared by hand, no isolation, uuid',
  ),
  'signed : pg prepared by hand, uuid': speed(
    'scoped, signed, uuid',
    'pg prepared by hand, no isolation, uuid',
  ),
  'plain : Kysely without isolation': speed('scoped, plain', 'Kysely, no isolation'),
  'signed : Kysely without isolation': speed('scoped, signed', 'Kysely, no isolation'),
  'plain : one by one': speed('scoped, plain', 'BEGIN, set_config, statement, COMMIT'),
  'signed : one by one': speed('scoped, signed', 'BEGIN, set_config, statement, COMMIT'),
  'transaction of three : one by one': speed(
    'transaction of three, scoped',
    'transaction of three, one by one',
  ),
  'time of the deepest page : the first, plain': (pages.plain.deepest / pages.plain.first).toFixed(2),
  'time of the deepest page : the first, signed': (pages.signed.deepest / pages.signed.first).toFixed(2),
  'search that finds nothing, ms per 100,000 own tasks, plain': Math.round(pages.plain.search),
  'search that finds nothing, ms per 100,000 own tasks, signed': Math.round(pages.signed.search),
})
