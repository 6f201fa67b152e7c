import { LRUCache } from 'lru-cache'
import { ObjectStoreError } from '../object-store.ts'

/** Milliseconds for which an answer of the bucket is used again: so long after another replica, a removal is seen. */
const freshFor = 60_000
/** Milliseconds for which it is used while the bucket fails, which is asked again after `pause`. */
export const usableFor = 24 * 60 * 60_000
const pause = 1000
export const maxAnswers = 20_000

type Ask<Value> = () => Promise<Value | undefined>
type Answer<Value> = { readonly value: Value; readonly at: number } | 'absent'

/** What the bucket has answered within the last minute. That something is missing is not remembered. */
export interface Recent<Value> {
  find(key: string, ask: Ask<Value>): Promise<Value | undefined>
  /** Also what is being asked: call it after a removal. */
  forget(key: string): void
}

export function createRecent<Value>(): Recent<Value> {
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
        const isUsable =
          last !== undefined && last !== 'absent' && performance.now() - last.at < usableFor
        if (!isUsable || !(error instanceof ObjectStoreError)) throw error
        options.ttl = pause
        return last
      }
    },
  })

  return {
    find: async (key, ask) => {
      let isOwn = false
      const askOnce = () => {
        isOwn = true
        return ask()
      }
      const answer = await answers.fetch(key, { context: askOnce })
      if (answer !== undefined && answer !== 'absent') return answer.value
      // The question of another reader may be older than what has been stored since.
      return isOwn ? undefined : ask()
    },
    forget: (key) => void answers.delete(key),
  }
}
