/** Default name of the role that scoped statements run as. */
export const defaultRole = 'app_user'

/** A name that PostgreSQL accepts without quotes. */
export const rolePattern = /^[a-z_][a-z0-9_]{0,62}$/
