import { useCallback, useEffect, useState } from 'preact/hooks'
import type { Files } from '../../../api/answers.ts'
import { type ApiError, api } from '../api.ts'
import { asApiError } from '../use-answer.ts'

export type File = Files['files'][number]

/** What is looked at: of the image of a digest, or of one of its layers. */
export type Place = {
  readonly name: string
  readonly digest: string
  readonly path: string
  readonly layer: number | undefined
}

/** Entries of a directory. */
const maxFiles = 20_000

type State = {
  readonly key: string
  /** The first page. */
  readonly answer?: Files
  readonly files: readonly File[]
  readonly isComplete: boolean
  readonly error?: ApiError
}

type Found = Omit<State, 'key'> & { readonly reload: () => void }

/** A directory, page by page, or the file at a path. */
export function useFiles(place: Place): Found {
  const [round, setRound] = useState(0)
  const [state, setState] = useState(nothing)
  const key = JSON.stringify([place.name, place.digest, place.path, place.layer, round])

  useEffect(() => {
    const controller = new AbortController()
    const { signal } = controller
    loadAll(place, signal, (loaded) => setState({ ...loaded, key })).catch((error: unknown) => {
      if (signal.aborted) return
      setState((before) => ({
        ...(before.key === key ? before : nothing),
        key,
        error: asApiError(error),
      }))
    })
    return () => controller.abort()
  }, [key])

  return {
    ...(state.key === key ? state : nothing),
    reload: useCallback(() => setRound((before) => before + 1), []),
  }
}

const nothing: State = { key: '', files: [], isComplete: false }

async function loadAll(
  place: Place,
  signal: AbortSignal,
  onPage: (state: Omit<State, 'key'>) => void,
): Promise<void> {
  const answer = await api.files(place, undefined, signal)
  let { files, next } = answer
  onPage({ answer, files, isComplete: next === undefined })
  while (next !== undefined && files.length < maxFiles) {
    const page: Files = await api.files(place, next, signal)
    next = page.next
    files = [...files, ...page.files]
    onPage({ answer, files, isComplete: next === undefined })
  }
}
