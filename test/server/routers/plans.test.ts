import { describe } from 'vitest'
import { kindsOfThisRun } from '../../parts/database.js'
import { planContract } from '../../parts/plan-contract.js'

describe.each(kindsOfThisRun)('20,000 tasks on %s', kind => {
  planContract(kind, { tasks: 16_000, users: 160, many: 4_000, imported: 400 })
})
