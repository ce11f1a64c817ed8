/** Pseudo-random numbers from a seed (mulberry32). */
export function randomNumbers(seed: number) {
  let state = seed
  return () => {
    state = (state + 0x6d2b79f5) | 0
    let mixed = Math.imul(state ^ (state >>> 15), 1 | state)
    mixed = (mixed + Math.imul(mixed ^ (mixed >>> 7), 61 | mixed)) ^ mixed
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32
  }
}

const spaces = [' ', ' ', ' ', '\n', '\t']
const comments = ['/**/', ' /* into */ ', '--\n', ' -- insert into\n']
const words = [
  ...[`'."'`, `'"'`, '"x."'],
  ...['insert', 'merge', 'into', 'temp', 'temporary', 'table', 'unlogged', 'select', 'with', 'explain'],
  ...[
    '"insert"',
    '"insert into"',
    '"INTO"',
    '"merge"',
    "'insert into a'",
    '"a""b"',
    '"',
    "'",
    '$$into$$',
    '$a$',
  ],
  ...['tasks', 'notes', 'public', 'x', '1', '$1', '(', ')', ',', ';', '*', 'as', 'from', 'é', '.', '::int'],
]
/** PostgreSQL calls a function of one argument when it is written as a field of a function in FROM. */
const fields = [
  'g.pg_advisory_lock',
  'g . "pg_advisory_lock"',
  'G.PG_TRY_ADVISORY_LOCK_SHARED',
  'g.setseed',
  'g.upper',
  'g.g',
]
const fieldSources = [
  'generate_series(1, 1) g',
  'unnest(array[1]) as g',
  'generate_series(1::bigint, 1) g',
  'cast(1 as bigint) g',
  'abs(1) "g"',
  "translate('select to_tsvector{set_config{''DateStyle'',''German'',false}}', '{}', '()') g",
]
const calls = [
  'pg_advisory_lock/**/(1)',
  'pg_advisory_lock--\n(1)',
  'pg_advisory_lock(1)',
  'PG_ADVISORY_LOCK (1)',
  '"pg_advisory_lock"(1)',
  'pg_catalog.pg_advisory_lock(1)',
  'pg_catalog . pg_advisory_lock (1)',
  '"pg_catalog" . "pg_advisory_lock" (1)',
  'U&"pg_\\0061dvisory_lock"(1)',
  'pg_try_advisory_lock_shared(1, 2)',
  '(1::bigint).pg_advisory_lock',
  '( 1 :: bigint ) . "pg_advisory_lock"',
  '(array[1::bigint])[1].pg_advisory_lock',
  '((select 1::bigint)).pg_try_advisory_lock',
  "set_config('fuzz.left', 'x', false)",
  "set_config('DateStyle', 'German', false)",
  "pg_catalog.set_config('search_path', 'pg_temp', false)",
  "query_to_xml('select set_config(''fuzz.left'', ''x'', false)', true, true, '')",
  "(query_to_xml('select * into temp notes from tasks', true, true, ''))",
  "('abc'::text).upper",
  'lower(title)',
  'count(*) over ()',
  'coalesce(notes, title)',
  'now()',
]

/** Statements of every allowed kind, many with side effects on the session, many with invalid SQL. */
export function randomStatements(seed: number): () => string {
  const random = randomNumbers(seed)
  const one = <T>(list: readonly T[]): T => {
    const picked = list[Math.floor(random() * list.length)]
    if (picked === undefined) throw new RangeError('Nothing to pick from.')
    return picked
  }
  let gaps = spaces
  const maybe = (text: () => string, chance = 0.5) => (random() < chance ? text() : '')
  const join = (...parts: string[]) =>
    parts
      .filter(part => part !== '')
      .reduce((text, part) => `${text}${text === '' ? '' : one(gaps)}${part}`, '')
  const name = () =>
    one(['notes', 'tasks', '"tasks"', 'uuid', '"text"', 'pg_temp.notes', 'left_behind', '"into"'])
  const into = () =>
    join(
      one(['into', 'INTO', 'Into']),
      one(['temp', 'TEMPORARY', 'temporary table', 'local temp', 'global temporary', '', 'unlogged']),
      name(),
    )
  const alias = () =>
    join(one(['', 'as']), one(['insert', 'merge', '"insert"', '"merge"', '"insert into a"', 'x', 'delete']))
  const item = () =>
    one([
      () => '*',
      () => 'title',
      () => join(one(['1', "'a'", 'title', 'user_id']), alias()),
      () => one(calls),
      () => join(one(calls), alias()),
      () => one(words),
    ])()
  const list = () => Array.from({ length: 1 + Math.floor(random() * 3) }, item).join(one([',', ', ']))
  const from = () =>
    join('from', one(['tasks', 'public.tasks', '(select 1) as s', 'tasks as "insert"', one(calls)]))
  const where = () => join('where', one(['true', 'title is null', one(calls), "title = 'insert into b'"]))
  /** `1 insert into temp notes` names a column `insert` and creates a table. */
  const disguised = () => `1 ${one(['insert', 'merge'])} ${into()}`
  const select = () =>
    join(
      'select',
      list(),
      maybe(into),
      maybe(() => `, ${disguised()}`, 0.2),
      maybe(from, 0.8),
      maybe(where, 0.3),
    )
  const fromField = () =>
    join(
      'select',
      maybe(() => `'."',`, 0.3),
      one([...fields, 'g.ts_stat']),
      maybe(() => `, '"'`, 0.3),
      'from',
      one(fieldSources),
    )
  const write = () =>
    one([
      () =>
        join(
          "insert into tasks (id, title) values (gen_random_uuid(), 'x')",
          maybe(() => join('returning', item())),
        ),
      () => join('insert into tasks (id, title)', select()),
      () => join('update tasks set title =', one(["'y'", one(calls), 'title']), maybe(where, 0.3)),
      () =>
        join(
          'delete from tasks',
          maybe(where),
          maybe(() => join('returning', item())),
        ),
      () => join("update pg_settings set setting = 'German' where name = 'DateStyle'"),
      () =>
        join(
          "merge into tasks using (select 1) s on false when not matched then insert (id, title) values (gen_random_uuid(), 'm')",
        ),
    ])()
  const soup = () =>
    join(one(['select', 'with', 'insert', 'table']), ...Array.from({ length: 8 }, () => one(words)))
  const query = (): string =>
    one([
      select,
      select,
      select,
      fromField,
      () =>
        join(
          'insert into tasks (id, title) select gen_random_uuid(), x::pg_catalog.text from',
          `(${fromField()}) s (x)`,
        ),
      () => `(${select()})`,
      () => join('with', name(), `as (${one([select, write])()})`, select()),
      () => join(select(), one(['union', 'union all', 'except']), select()),
      () => join('table', name()),
      () => join('values', `(${one(calls)})`),
      write,
      () => join('explain', one(['', 'analyze', '(analyze)', 'verbose']), one([select, write])()),
      soup,
    ])()
  return () => {
    gaps = random() < 0.3 ? [...spaces, ...comments] : spaces
    return join(
      maybe(() => one(['/* select */', '--\n', '(', ' ']), 0.1),
      query(),
    )
  }
}
