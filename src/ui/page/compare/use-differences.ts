import { useCallback, useEffect, useRef, useState } from 'preact/hooks'
import type { Comparison } from '../../../api/answers.ts'
import { type ApiError, api, type ComparedImage } from '../api.ts'
import { asApiError } from '../use-answer.ts'

export type FileDifference = Comparison['files'][number]

export type FileFilter = {
  readonly filter: string
  readonly change: FileDifference['change'] | undefined
}

export type Differences = {
  /** An answer, whose totals and config are those of all files; undefined: not compared yet. */
  readonly answer: Comparison | undefined
  readonly rows: readonly FileDifference[]
  readonly hasMore: boolean
  /** Undefined: nothing is read now. */
  readonly reading: Comparison['reading']
  /** Others use the registry's threads; this waits for them. */
  readonly isWaiting: boolean
  readonly error: ApiError | undefined
  /** Loads the next page. */
  readonly more: () => void
  readonly retry: () => void
}

type State = Omit<Differences, 'more' | 'retry' | 'hasMore'> & {
  readonly key: string
  readonly next: string | undefined
}

const nothing: State = {
  key: '',
  answer: undefined,
  rows: [],
  next: undefined,
  reading: undefined,
  isWaiting: false,
  error: undefined,
}

/** Milliseconds until a request that was refused, because others look inside, is repeated. */
const pause = 2000

/** The files that differ, a page at a time; while the layers are read, how far that is. */
export function useDifferences(
  before: ComparedImage,
  after: ComparedImage,
  filter: FileFilter,
): Differences {
  const [round, setRound] = useState(0)
  const images = `${before.digest} ${after.digest} ${round}`
  const key = JSON.stringify([images, filter])
  const [state, setState] = useState(nothing)
  const controller = useRef(new AbortController())
  const isLoading = useRef(false)

  const load = useCallback(
    async (from: string | undefined) => {
      const { signal } = controller.current
      isLoading.current = true
      const change = (next: Partial<State>) => {
        if (!signal.aborted) setState((old) => ({ ...old, key, ...next }))
      }
      let [cursor, isFirst] = [from, from === undefined]
      while (!signal.aborted) {
        const asked = { ...filter, after: cursor }
        const answer = await api.compare(before, after, asked, signal).catch(asApiError)
        if (signal.aborted) return
        if (answer instanceof Error && answer.status === 429) {
          change({ isWaiting: true })
          await new Promise((resolve) => setTimeout(resolve, pause))
        } else if (answer instanceof Error) {
          change({ error: answer, isWaiting: false, reading: undefined })
          break
        } else if (answer.reading !== undefined)
          change({ reading: answer.reading, isWaiting: false, error: undefined })
        else {
          const { files, next } = answer
          const rows = isFirst ? undefined : files
          setState((old) => ({
            ...nothing,
            key,
            answer,
            rows: rows === undefined ? files : [...old.rows, ...rows],
            next,
          }))
          // The page may have none that match, although there are more.
          if (next === undefined || files.length > 0) break
          ;[cursor, isFirst] = [next, false]
        }
      }
      if (!signal.aborted) isLoading.current = false
    },
    [key],
  )

  useEffect(() => {
    controller.current = new AbortController()
    void load(undefined)
    return () => controller.current.abort()
  }, [load])

  const isSame = state.key.startsWith(`["${images}"`)
  const { next, ...shown } = isSame ? state : nothing
  return {
    ...shown,
    hasMore: next !== undefined,
    more: useCallback(() => {
      if (next !== undefined && !isLoading.current) void load(next)
    }, [next, load]),
    retry: useCallback(() => setRound((old) => old + 1), []),
  }
}
