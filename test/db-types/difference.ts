import type { Insertable, Selectable } from 'kysely'

/**
 * The differences between two interfaces of one database, as a union of messages: missing tables and columns, types, null,
 * and optional columns of an insert. `never` if they agree. The interface in the code may be narrower.
 */
export type Difference<Code, Migrated> =
  | Missing<'', Code, Migrated>
  | {
      [Table in keyof Code & keyof Migrated & string]:
        | Missing<`${Table}.`, Code[Table], Migrated[Table]>
        | DifferenceOfColumns<Table, Code[Table], Migrated[Table]>
    }[keyof Code & keyof Migrated & string]

type Missing<Prefix extends string, Code, Migrated> =
  | `${Prefix}${Exclude<keyof Code, keyof Migrated> & string}: only in tasks-table.ts`
  | `${Prefix}${Exclude<keyof Migrated, keyof Code> & string}: only in the database`

type DifferenceOfColumns<Table extends string, Code, Migrated> = {
  [Column in keyof Code & keyof Migrated & string]: `${Table}.${Column}: ${
    | DifferenceOfType<Selected<Code, Column>, Selected<Migrated, Column>>
    | Flag<'null', MayBeNull<Code, Column>, MayBeNull<Migrated, Column>>
    | Flag<'left out of an insert', IsOptional<Code, Column>, IsOptional<Migrated, Column>>}`
}[keyof Code & keyof Migrated & string]

type Selected<Table, Column extends keyof Table> = Selectable<Table>[Column & keyof Selectable<Table>]

type DifferenceOfType<Code, Migrated> = [NonNullable<Code>] extends [NonNullable<Migrated>]
  ? never
  : `${Name<NonNullable<Code>>} in tasks-table.ts, ${Name<NonNullable<Migrated>>} in the database`

type Name<T> = [T] extends [string]
  ? 'string'
  : [T] extends [number]
    ? 'number'
    : [T] extends [boolean]
      ? 'boolean'
      : [T] extends [Date]
        ? 'Date'
        : 'another type'

type Flag<What extends string, Code, Migrated> = Code extends Migrated
  ? never
  : Code extends true
    ? `may be ${What} by tasks-table.ts, not in the database`
    : `may be ${What} in the database, not by tasks-table.ts`

type MayBeNull<Table, Column extends keyof Table> = null extends Selected<Table, Column> ? true : false

/** A column that the code never inserts counts as optional. */
type IsOptional<Table, Column extends keyof Table> = Column extends keyof Insertable<Table>
  ? object extends Pick<Insertable<Table>, Column>
    ? true
    : false
  : true
