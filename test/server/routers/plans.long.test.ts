import { describe } from 'vitest'
import { planContract } from '../../parts/plan-contract.js'

/** A million, and fewer in CI. */
const tasks = Number(process.env.PLAN_TASKS ?? 1_000_000)

describe(`${tasks} tasks of ${tasks / 100} users, and ${tasks / 5} of one`, () => {
  planContract('PostgreSQL', { tasks, users: tasks / 100, many: tasks / 5, imported: tasks / 50 })
})
