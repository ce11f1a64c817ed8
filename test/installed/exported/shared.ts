import * as shared from 'trpc-bearer/shared'

export { shared }
export const user: shared.User = { id: 'alice' }
export const input = shared.taskCreateInput
export const parsed = shared.taskCreateInput.parse({ title: 'Buy milk' })
export type Outputs = shared.RouterOutputs
