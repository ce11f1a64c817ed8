import { type ReactNode, useEffect, useId, useRef } from 'react'

/** A dialog over the page. Escape does not close it, because it asks for a decision. */
export function ModalDialog({ title, children }: { title: string; children: ReactNode }) {
  const dialog = useRef<HTMLDialogElement>(null)
  const titleId = useId()
  useEffect(() => dialog.current?.showModal(), [])
  return (
    <dialog ref={dialog} aria-labelledby={titleId} onCancel={event => event.preventDefault()}>
      <h2 id={titleId}>{title}</h2>
      {children}
    </dialog>
  )
}
