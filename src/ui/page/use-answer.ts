import { useCallback, useEffect, useRef, useState } from 'preact/hooks'
import { ApiError } from './api.ts'

/** An answer of the API, as a view has it. */
export type Answer<Value> = {
  /** The last one, also while the next is awaited. */
  readonly value: Value | undefined
  readonly error: ApiError | undefined
  readonly isLoading: boolean
  readonly reload: () => void
}

type State<Value> = { readonly key: string; readonly value?: Value; readonly error?: ApiError }

/**
 * Asks when `key` changes, at `reload`, and again every `every` milliseconds while the page is visible and
 * no answer is awaited. An answer to an earlier key is dropped. Without a key nothing is asked.
 */
export function useAnswer<Value>(
  key: string | undefined,
  ask: (signal: AbortSignal) => Promise<Value>,
  every?: number,
): Answer<Value> {
  const [state, setState] = useState<State<Value>>({ key: '' })
  const [round, setRound] = useState(0)
  const isAsking = useRef(false)
  const reload = useCallback(() => setRound((before) => before + 1), [])

  // `ask` is a new function at each render; `key` says when it asks for something else.
  useEffect(() => {
    if (key === undefined) return
    const controller = new AbortController()
    isAsking.current = true
    ask(controller.signal).then(
      (value) => {
        if (controller.signal.aborted) return
        isAsking.current = false
        setState({ key, value })
      },
      (error: unknown) => {
        if (controller.signal.aborted) return
        isAsking.current = false
        setState((before) => ({ ...(before.key === key && before), key, error: asApiError(error) }))
      },
    )
    return () => controller.abort()
  }, [key, round])

  useEffect(() => {
    if (every === undefined) return
    const timer = setInterval(() => {
      if (document.visibilityState === 'visible' && !isAsking.current) reload()
    }, every)
    return () => clearInterval(timer)
  }, [every, reload])

  const isCurrent = state.key === key
  return {
    value: isCurrent ? state.value : undefined,
    error: isCurrent ? state.error : undefined,
    isLoading: !isCurrent,
    reload,
  }
}

export function asApiError(error: unknown): ApiError {
  return error instanceof ApiError ? error : new ApiError(String(error), 0)
}
