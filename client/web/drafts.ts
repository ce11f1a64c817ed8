import { useState } from 'react'

const prefix = 'draft '
const nameOf = (userId: string, field: string) => `${prefix}${userId} ${field}`

/**
 * A text that survives a reload, an expired session and a failed call, until it is saved or discarded. It is kept for its user, in this
 * tab only.
 *
 * @param initial the text if there is no draft
 */
export function useDraft(userId: string, field: string, initial = '') {
  const name = nameOf(userId, field)
  const [value, setValue] = useState(() => sessionStorage.getItem(name) ?? initial)
  const set = (text: string) => {
    setValue(text)
    if (text === initial) sessionStorage.removeItem(name)
    else sessionStorage.setItem(name, text)
  }
  const discard = () => {
    setValue(initial)
    sessionStorage.removeItem(name)
  }
  return { value, set, discard }
}

export const hasDraft = (userId: string, field: string) =>
  sessionStorage.getItem(nameOf(userId, field)) !== null

export const saveDraft = (userId: string, field: string, text: string) =>
  sessionStorage.setItem(nameOf(userId, field), text)

/** For a sign-out: nothing of the user stays in the tab. */
export function discardDraftsOf(userId: string) {
  for (const name of Object.keys(sessionStorage))
    if (name.startsWith(nameOf(userId, ''))) sessionStorage.removeItem(name)
}
