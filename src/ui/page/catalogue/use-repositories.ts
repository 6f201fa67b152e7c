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
  readonly problem?: string | undefined
  readonly error?: ApiError
}

type Found = State & { readonly isLoading: boolean; readonly reload: () => void }

/** All repositories, page by page; `search` is only for the registry if there are too many of them. */
export function useRepositories(search: string): Found {
  const [state, setState] = useState<State>()
  const [round, setRound] = useState(0)
  const isTooMany = state !== undefined && state.total > maxRepositories
  const asked = isTooMany ? search : ''

  useEffect(() => {
    const controller = new AbortController()
    loadAll(asked, controller.signal, setState).catch((error: unknown) => {
      if (controller.signal.aborted) return
      setState((before) => ({ ...(before ?? nothing), error: asApiError(error) }))
    })
    return () => controller.abort()
  }, [asked, round])

  return {
    ...(state ?? nothing),
    isLoading: state === undefined,
    reload: useCallback(() => setRound((before) => before + 1), []),
  }
}

const nothing: State = { repositories: [], total: 0, isComplete: false }

async function loadAll(
  search: string,
  signal: AbortSignal,
  onPage: (state: State) => void,
): Promise<void> {
  let repositories: readonly Repository[] = []
  let last: string | undefined
  do {
    const page = await api.repositories({ search, last }, signal)
    repositories = [...repositories, ...page.repositories]
    last = page.next
    const { total, problem } = page
    onPage({ repositories, total, problem, isComplete: last === undefined })
  } while (last !== undefined && repositories.length < maxRepositories)
}
