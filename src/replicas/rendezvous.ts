import { hash } from 'node:crypto'

/**
 * The members by their score for a key, the owner first (rendezvous hashing): each process that knows the same
 * members finds the same order, and one member more or less does not change that of the others.
 */
export function rank(key: string, members: readonly string[]): readonly string[] {
  return members
    .map((member) => ({ member, score: hash('sha1', `${member} ${key}`) }))
    .toSorted((a, b) => (a.score > b.score ? -1 : 1))
    .map(({ member }) => member)
}
