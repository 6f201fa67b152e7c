import { useCallback, useEffect, useRef, useState } from 'preact/hooks'
import type { Tags } from '../../../api/answers.ts'
import { type ApiError, api, type TagOrder } from '../api.ts'
import { asApiError } from '../use-answer.ts'

export type Tag = Tags['tags'][number]

/** Tags of one request. */
const pageSize = 500

type State = {
  readonly key: string
  /** The newest page, without its tags. */
  readonly answer: Tags | undefined
  readonly pages: ReadonlyMap<number, readonly Tag[]>
  readonly error?: ApiError
}

export type FoundTags = {
  readonly answer: Tags | undefined
  readonly error: ApiError | undefined
  readonly isLoading: boolean
  /** Undefined if its page is not loaded yet. */
  readonly tag: (index: number) => Tag | undefined
  /** Loads the pages of the visible rows. */
  readonly show: (first: number, last: number) => void
  readonly reload: () => void
}

/**
 * The tags of a repository in an order, of which only the pages that are looked at are requested. While a new
 * order is awaited the old one is shown.
 */
export function useTags(name: string, order: TagOrder): FoundTags {
  const [round, setRound] = useState(0)
  const key = JSON.stringify([name, order, round])
  const [state, setState] = useState<State>({ key: '', answer: undefined, pages: new Map() })
  const controller = useRef(new AbortController())
  const asked = useRef(new Set<number>())

  const load = useCallback(
    (page: number) => {
      if (asked.current.has(page)) return
      asked.current.add(page)
      const { signal } = controller.current
      api.tags(name, { ...order, offset: page * pageSize, n: pageSize }, signal).then(
        (answer) => {
          if (signal.aborted) return
          setState((before) => ({
            key,
            answer,
            pages: new Map(before.key === key ? before.pages : []).set(page, answer.tags),
          }))
        },
        (error: unknown) => {
          if (signal.aborted) return
          asked.current.delete(page)
          setState((before) => ({ ...before, key, error: asApiError(error) }))
        },
      )
    },
    [key],
  )

  useEffect(() => {
    controller.current = new AbortController()
    asked.current = new Set()
    load(0)
    return () => controller.current.abort()
  }, [load])

  return {
    answer: state.answer,
    error: state.error,
    isLoading: state.key !== key,
    tag: (index) => state.pages.get(Math.floor(index / pageSize))?.[index % pageSize],
    show: useCallback(
      (first, last) => {
        const end = Math.floor(Math.max(first, last - 1) / pageSize)
        for (let page = Math.floor(first / pageSize); page <= end; page += 1) load(page)
      },
      [load],
    ),
    reload: useCallback(() => setRound((before) => before + 1), []),
  }
}
