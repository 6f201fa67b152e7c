import { LRUCache } from 'lru-cache'
import { ObjectStoreError } from '../object-store.ts'
import type { Patience } from './patience.ts'

/** Milliseconds for which an answer of the bucket is used again: so long after another replica, a removal is seen. */
const freshFor = 60_000
/** Milliseconds for which it is used while the bucket fails or is silent; it is asked again after `pause`. */
export const usableFor = 24 * 60 * 60_000
const pause = 1000
export const maxAnswers = 20_000

type Ask<Value> = () => Promise<Value | undefined>
type KnownAnswer<Value> = { readonly value: Value; readonly at: number }
type Answer<Value> = KnownAnswer<Value> | 'absent'

/** What the bucket has answered within the last minute. That something is missing is not remembered. */
export interface Recent<Value> {
  /** `local`: what counts if the bucket neither answers nor has answered. */
  find(key: string, ask: Ask<Value>, local?: Ask<Value>): Promise<Value | undefined>
  /** The bucket has answered it within the last minute. */
  isKnown(key: string): boolean
  /** Also what is being asked: call it after a removal. */
  forget(key: string): void
}

export function createRecent<Value>(patience: Patience): Recent<Value> {
  const isUsable = (answer: Answer<Value> | undefined): answer is KnownAnswer<Value> =>
    answer !== undefined && answer !== 'absent' && performance.now() - answer.at < usableFor

  const answers = new LRUCache<string, Answer<Value>, Ask<Value>>({
    max: maxAnswers,
    ttl: freshFor,
    ignoreFetchAbort: true,
    noDeleteOnFetchRejection: true,
    fetchMethod: async (_key, last, { options, context: ask }) => {
      try {
        const value = await ask()
        if (value !== undefined) return { value, at: performance.now() }
        options.ttl = 1
        return 'absent'
      } catch (error) {
        if (!isUsable(last) || !(error instanceof ObjectStoreError)) throw error
        options.ttl = pause
        return last
      }
    },
  })

  const askBucket = async (key: string, ask: Ask<Value>): Promise<Value | undefined> => {
    let isOwn = false
    const askOnce = () => {
      isOwn = true
      return ask()
    }
    const answer = await answers.fetch(key, { context: askOnce })
    if (answer !== undefined && answer !== 'absent') return answer.value
    // The question of another reader may be older than what has been stored since.
    return isOwn ? undefined : ask()
  }

  return {
    find: async (key, ask, local) => {
      const last = answers.peek(key, { allowStale: true })
      const known = isUsable(last) ? last.value : await local?.()
      if (known === undefined) return askBucket(key, ask)
      try {
        return await patience(() => askBucket(key, ask), known)
      } catch (error) {
        if (!(error instanceof ObjectStoreError)) throw error
        return known
      }
    },
    isKnown: (key) => isUsable(answers.peek(key)),
    forget: (key) => void answers.delete(key),
  }
}
