import * as database from 'trpc-bearer/db'

export { database }
export const opened = database.openDatabase({ url: 'postgres://localhost:1/nothing' })
export const admin = opened.then(open => open.admin)
export const handle = opened.then(open => open.forUser('alice'))
export const report = opened.then(open => open.fence())
export const statement = opened.then(open => open.identityStatement('alice'))
export const protect = database.protectTable
export const setUp = database.setUpFence
