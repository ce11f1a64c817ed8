import { describe } from 'vitest'
import { tableKinds } from '../../parts/database.js'
import { planContract } from '../../parts/plan-contract.js'

describe.each(tableKinds)('20,000 tasks on %s', kind => {
  planContract(kind, { tasks: 16_000, users: 160, many: 4_000, imported: 400 })
})
