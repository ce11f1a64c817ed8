/** Where the package records its own migrations, beside those of the people who use it. */
export const migrationTable = 'trpc_bearer_migration'
