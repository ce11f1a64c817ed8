export { DatabaseUrlError } from './database-url.js'
export { DataDirError, DataDirInUseError } from './embedded/data-dir.js'
export { MissingPackageError } from './embedded/pglite.js'
export type { FenceReport } from './fence/audit.js'
export type { FenceGap } from './fence/gap.js'
export { FenceError } from './fence/gate.js'
export type { FenceLevel } from './fence/level.js'
export { LoginError } from './fence/serving-login.js'
export { type FenceSetup, setUpFence } from './fence/sign.js'
export { TasksTableError } from './migrations/0002_tasks.js'
export {
  createMigrator,
  migrateTasks,
  migrateToLatest,
  migrations,
  pendingMigrations,
} from './migrations/migrator.js'
export { type DatabaseOptions, type OpenDatabase, openDatabase } from './open-database.js'
export * from './schema.js'
export { type ProtectOptions, protectTable, shareTable, unprotectTable } from './tables/protect.js'
