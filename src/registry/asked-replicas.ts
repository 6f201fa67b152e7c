import { isSettledWithin } from './settled-within.ts'

/** Milliseconds that a replica may know later than another one that an owner has failed, or is another. */
export const maxWait = 5000

/** What another replica is asked for now. */
export interface AskedReplicas {
  ask<Answer>(key: string, answering: Promise<Answer>): Promise<Answer>
  /** Whether the question has an answer soon. Replicas must not wait for each other for longer. */
  isAnswered(key: string): Promise<boolean>
}

export function createAskedReplicas(): AskedReplicas {
  const asking = new Map<string, Promise<unknown>>()
  return {
    ask: (key, answering) => {
      asking.set(key, answering)
      return answering.finally(() => asking.delete(key))
    },
    isAnswered: (key) => isSettledWithin(asking.get(key) ?? Promise.resolve(), maxWait),
  }
}
