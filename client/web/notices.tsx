import { useEffect, useState } from 'react'
import { createStore, type Store, useStore } from './store.js'

interface NoticeAction {
  label: string
  run: () => void
}

/** Something that happened. A problem stays until the person closes it. */
export type Notice = ({ done: string; problem?: never } | { problem: string; done?: never }) & {
  /** The next notice with the same key takes its place. */
  key?: string
  action?: NoticeAction | undefined
  /** The person has closed it without the action. */
  onClose?: () => void
}

export interface Notices {
  show(notice: Notice): void
  /** The problem is solved, or gone. */
  close(key: string): void
}

type Shown = Notice & { key: string }

const secondsShown = 8
const doneShown = 3

/** Notices at the lower edge, which screen readers read aloud. */
export function useNotices(): Notices & { shown: Store<readonly Shown[]> } {
  const [notices] = useState(() => {
    const shown = createStore<readonly Shown[]>([])
    const without = (key: string) => shown.get().filter(notice => notice.key !== key)
    return {
      shown,
      show: ({ key = crypto.randomUUID(), ...notice }: Notice) => {
        const all = [...without(key), { ...notice, key }]
        const old = all.filter(({ done }) => done !== undefined).slice(0, -doneShown)
        shown.set(all.filter(other => !old.includes(other)))
      },
      close: (key: string) => shown.set(without(key)),
    }
  })
  return notices
}

export function NoticeList({ notices: { shown, close } }: { notices: ReturnType<typeof useNotices> }) {
  const notices = useStore(shown)
  return (
    <div className="notices">
      <div role="status">
        {notices.map(notice =>
          notice.done === undefined ? null : <NoticeItem key={notice.key} notice={notice} close={close} />,
        )}
      </div>
      <div role="alert">
        {notices.map(notice =>
          notice.problem === undefined ? null : <NoticeItem key={notice.key} notice={notice} close={close} />,
        )}
      </div>
    </div>
  )
}

function NoticeItem({ notice, close }: { notice: Shown; close: (key: string) => void }) {
  const { key, done, problem, action, onClose } = notice
  const [isHeld, setHeld] = useState(false)
  const isTimed = problem === undefined && !isHeld
  useEffect(() => {
    if (!isTimed) return
    const timer = setTimeout(() => close(key), secondsShown * 1_000)
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
      <span dir="auto">{done ?? problem}</span>
      {action && (
        <button
          type="button"
          className="link"
          onClick={() => {
            close(key)
            action.run()
          }}
        >
          {action.label}
        </button>
      )}
      <button
        type="button"
        className="icon"
        aria-label="Close"
        onClick={() => {
          close(key)
          onClose?.()
        }}
      >
        ×
      </button>
    </div>
  )
}
