import { useCallback, useEffect, useState } from 'preact/hooks'
import type { TaggedUsage } from '../../../api/answers.ts'
import { type ApiError, api } from '../api.ts'
import { useAnswer } from '../use-answer.ts'

export type Tagged = TaggedUsage['tagged'][number]

type FoundUsage = {
  /** The newest page. */
  readonly value: TaggedUsage | undefined
  /** Of all pages that are loaded. */
  readonly tagged: readonly Tagged[]
  readonly error: ApiError | undefined
  readonly reload: () => void
  /** Loads pages until the rows before `last` are there. */
  readonly show: (first: number, last: number) => void
}

/** The tags of a repository by what they free, page by page as one gets there. */
export function useTaggedUsage(name: string): FoundUsage {
  const [pages, setPages] = useState<readonly TaggedUsage[]>([])
  const [wanted, setWanted] = useState(1)
  const tagged = pages.flatMap((page) => page.tagged)
  const next = pages.length === 0 ? 0 : pages.at(-1)?.next
  const offset = tagged.length < wanted ? next : undefined
  const { value, error, reload } = useAnswer(offset?.toString(), (signal) =>
    api.taggedUsage(name, offset ?? 0, signal),
  )
  useEffect(() => {
    if (value !== undefined) setPages((before) => [...before, value])
  }, [value])
  return {
    value: pages.at(-1),
    tagged,
    error,
    reload,
    show: useCallback((_first, last) => setWanted((before) => Math.max(before, last)), []),
  }
}
