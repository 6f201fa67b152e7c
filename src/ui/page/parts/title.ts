import { useEffect } from 'preact/hooks'
import { useSession } from '../session.ts'

/** Names the view in the browser's tab and history. */
export function useTitle(view: string): void {
  const { title } = useSession()
  useEffect(() => {
    document.title = `${view} · ${title}`
  }, [view, title])
}
