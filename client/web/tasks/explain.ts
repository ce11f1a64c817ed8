import { isApiError } from '../../client.js'
import { UserChangedError } from '../../current-user.js'

/** Why a call failed, for a person. */
export function explain(error: unknown): string {
  if (!isApiError(error)) return 'Something unexpected happened.'
  const fields = Object.values(error.data?.fields ?? {}).flat()
  if (fields.length > 0) return fields.join(' ')
  switch (error.data?.code) {
    case undefined:
      return 'The API did not answer.'
    case 'UNAUTHORIZED':
      return 'Your session has ended.'
    case 'NOT_FOUND':
      return 'The task does not exist any more.'
    case 'SERVICE_UNAVAILABLE':
    case 'TIMEOUT':
    case 'GATEWAY_TIMEOUT':
      return 'The API is not available right now.'
    default:
      return 'The API could not do it.'
  }
}

export const isMissing = (error: unknown) => isApiError(error) && error.data?.code === 'NOT_FOUND'

/** The person has left the page: their problems are not shown to the next one. */
export const isOfFormerUser = (error: unknown) => isApiError(error) && error.cause instanceof UserChangedError
