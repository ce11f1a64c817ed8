/** Role that scoped statements run as, where nothing else is said. */
export const defaultRole = 'app_user'

/** A name that PostgreSQL takes as it is. */
export const rolePattern = /^[a-z_][a-z0-9_]{0,62}$/
