import { type RefObject, useEffect } from 'react'

const rowControls = ['input[type="checkbox"]', '.task-title', '.task-delete']

/**
 * If the element with the focus goes away, the focus moves to the same control of the row that took its place, and without such a row to
 * `fallback`. Otherwise the keyboard would start at the top of the page again.
 */
export function useKeptFocus(
  container: RefObject<HTMLElement | null>,
  fallback: RefObject<HTMLElement | null>,
) {
  useEffect(() => {
    const root = container.current
    if (root === null) return
    const rows = () => [...root.querySelectorAll('.task')]
    let last: { element: Element; control: string | undefined; row: number } | undefined
    const remember = ({ target: element }: FocusEvent) => {
      if (!(element instanceof Element)) return
      const control = rowControls.find(selector => element.matches(selector))
      last = { element, control, row: rows().findIndex(row => row.contains(element)) }
    }
    const restore = () => {
      const { activeElement, body } = document
      if (last === undefined || (last.element.isConnected && !last.element.matches(':disabled'))) return
      if (activeElement !== body && activeElement !== last.element) return
      const row = last.row < 0 ? undefined : (rows()[last.row] ?? rows().at(-1))
      const next = row?.querySelector<HTMLElement>(`:is(${last.control ?? '.task-title'}):enabled`)
      ;(next ?? fallback.current)?.focus({ preventScroll: true })
    }
    const observer = new MutationObserver(restore)
    observer.observe(root, { subtree: true, childList: true, attributeFilter: ['disabled'] })
    root.addEventListener('focusin', remember)
    return () => {
      observer.disconnect()
      root.removeEventListener('focusin', remember)
    }
  }, [container, fallback])
}
