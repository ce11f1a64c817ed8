import { describe } from 'vitest'
import { planContract } from '../../parts/plan-contract.js'

describe('1,000,000 tasks of 10,000 users, and 200,000 of one', () => {
  planContract('PostgreSQL', { tasks: 1_000_000, users: 10_000, many: 200_000, imported: 20_000 })
})
