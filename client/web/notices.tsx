import { useEffect, useState } from 'react'
import { createStore, type Store, useStore } from './store.js'

interface NoticeAction {
  label: string
  run: () => void
}

/** Something that happened. A problem stays until it is closed. */
export type Notice = ({ done: string; problem?: never } | { problem: string; done?: never }) & {
  action?: NoticeAction | undefined
}

export interface Notices {
  show(notice: Notice): void
}

type Shown = Notice & { id: number }

let last = 0
const secondsShown = 8

/** Notices at the lower edge, which screen readers read aloud. */
export function useNotices(): Notices & { shown: Store<readonly Shown[]> } {
  const [notices] = useState(() => {
    const shown = createStore<readonly Shown[]>([])
    return {
      shown,
      show: (notice: Notice) => shown.set([...shown.get().slice(-2), { ...notice, id: ++last }]),
    }
  })
  return notices
}

export function NoticeList({ shown }: { shown: Store<readonly Shown[]> }) {
  const notices = useStore(shown)
  const close = (id: number) => shown.set(shown.get().filter(notice => notice.id !== id))
  return (
    <div className="notices">
      <div role="status">
        {notices.map(notice =>
          notice.done === undefined ? null : <NoticeItem key={notice.id} notice={notice} close={close} />,
        )}
      </div>
      <div role="alert">
        {notices.map(notice =>
          notice.problem === undefined ? null : <NoticeItem key={notice.id} notice={notice} close={close} />,
        )}
      </div>
    </div>
  )
}

function NoticeItem({ notice, close }: { notice: Shown; close: (id: number) => void }) {
  const { id, done, problem, action } = notice
  const [isHeld, setHeld] = useState(false)
  const isTimed = problem === undefined && !isHeld
  useEffect(() => {
    if (!isTimed) return
    const timer = setTimeout(() => close(id), secondsShown * 1_000)
    return () => clearTimeout(timer)
  })
  return (
    // biome-ignore lint/a11y/noStaticElementInteractions: it only waits while somebody reads it
    <div
      className={problem === undefined ? 'notice' : 'notice notice-problem'}
      onMouseEnter={() => setHeld(true)}
      onMouseLeave={() => setHeld(false)}
      onFocus={() => setHeld(true)}
      onBlur={() => setHeld(false)}
    >
      <span>{done ?? problem}</span>
      {action && (
        <button
          type="button"
          className="link"
          onClick={() => {
            close(id)
            action.run()
          }}
        >
          {action.label}
        </button>
      )}
      <button type="button" className="icon" aria-label="Close" onClick={() => close(id)}>
        ×
      </button>
    </div>
  )
}
