import { useCallback, useEffect, useState } from 'preact/hooks'
import { type ApiError, api } from '../api.ts'
import { asApiError } from '../use-answer.ts'
import type { Repository } from './tree.ts'

/** More are searched by the registry, not in the page. */
const maxRepositories = 10_000

type State = {
  readonly repositories: readonly Repository[]
  readonly total: number
  readonly isComplete: boolean
  /** More pages are awaited. */
  readonly isLoading: boolean
  readonly problem?: string | undefined
  readonly error?: ApiError
}

type Found = State & { readonly reload: () => void }

/** The request: repositories below `prefix` whose names contain `search`. */
type Asked = { readonly prefix: string; readonly search: string }

/** All repositories, page by page; the registry is asked for a part only if there are too many of them. */
export function useRepositories(prefix: string, search: string): Found {
  const [state, setState] = useState<State>()
  const [round, setRound] = useState(0)
  const [isTooMany, setTooMany] = useState(false)
  const asked = isTooMany
    ? { prefix: prefix.replace(/\/$/, ''), search }
    : { prefix: '', search: '' }

  useEffect(() => {
    const controller = new AbortController()
    setState((before) => before && { ...before, isLoading: true })
    const onPage = (page: State) => {
      setState(page)
      if (asked.prefix === '' && asked.search === '') setTooMany(page.total > maxRepositories)
    }
    loadAll(asked, controller.signal, onPage).catch((error: unknown) => {
      if (controller.signal.aborted) return
      setState((before) => ({ ...(before ?? nothing), isLoading: false, error: asApiError(error) }))
    })
    return () => controller.abort()
  }, [asked.prefix, asked.search, round])

  return {
    ...(state ?? nothing),
    reload: useCallback(() => setRound((before) => before + 1), []),
  }
}

const nothing: State = { repositories: [], total: 0, isComplete: false, isLoading: true }

async function loadAll(
  asked: Asked,
  signal: AbortSignal,
  onPage: (state: State) => void,
): Promise<void> {
  let repositories: readonly Repository[] = []
  let last: string | undefined
  let isLoading = true
  while (isLoading) {
    const page = await api.repositories({ ...asked, last }, signal)
    repositories = [...repositories, ...page.repositories]
    last = page.next
    const { total, problem } = page
    const isComplete = last === undefined
    isLoading = !isComplete && repositories.length < maxRepositories
    onPage({ repositories, total, problem, isComplete, isLoading })
  }
}
