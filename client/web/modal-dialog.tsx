import { type ReactNode, useId, useLayoutEffect, useRef } from 'react'

/** A dialog over the page. Escape does not close it, because it asks for a decision. */
export function ModalDialog({ title, children }: { title: string; children: ReactNode }) {
  const dialog = useRef<HTMLDialogElement>(null)
  const titleId = useId()
  const open = () => dialog.current?.showModal()
  useLayoutEffect(open, [])
  return (
    // Chromium closes it at the second Escape, whatever `onCancel` says. Without `closedby` it opens again.
    <dialog
      ref={dialog}
      aria-labelledby={titleId}
      closedby="none"
      onCancel={event => event.preventDefault()}
      onClose={open}
    >
      <h2 id={titleId}>{title}</h2>
      {children}
    </dialog>
  )
}
