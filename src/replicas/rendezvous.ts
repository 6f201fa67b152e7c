import { hash } from 'node:crypto'

/**
 * The member with the highest score for a key (rendezvous hashing): each process that knows the same members
 * finds the same one, and one member more or less moves only the keys that it owns.
 */
export function ownerOf(key: string, members: readonly string[]): string | undefined {
  const scored = members.map((member) => ({ member, score: hash('sha1', `${member} ${key}`) }))
  return scored.reduce<(typeof scored)[number] | undefined>(
    (best, each) => (best === undefined || each.score > best.score ? each : best),
    undefined,
  )?.member
}
