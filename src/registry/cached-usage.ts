import { setImmediate as yieldToOthers } from 'node:timers/promises'
import type { Digest } from '../oci/digest.ts'
import type { Usage } from './inventory.ts'

/** Parts that are counted before others get a turn. */
const stride = 50

type Options = {
  /** What each part has; a part may occur several times. */
  readonly parts: Iterable<readonly [part: string, digests: Iterable<Digest>]>
  /** Undefined: it is not stored. */
  readonly sizeOf: (digest: Digest) => number | undefined
}

/** As {@link Usage}: the part with an empty name only shares the bytes of the others. */
export async function countUsage({ parts, sizeOf }: Options): Promise<Usage> {
  const owners = new Map<Digest, Set<string>>()
  let turn = 0
  for (const [part, digests] of parts) {
    for (const digest of digests) owners.set(digest, (owners.get(digest) ?? new Set()).add(part))
    turn += 1
    if (turn % stride === 0) await yieldToOthers()
  }
  const counted = new Map<string, { unique: number; own: number }>()
  const sum = { unique: 0, own: 0 }
  for (const [digest, names] of owners) {
    const size = sizeOf(digest) ?? 0
    const isElsewhere = names.has('')
    if (names.size === 1 && isElsewhere) continue
    sum.unique += size
    if (!isElsewhere) sum.own += size
    for (const part of names) {
      const of = counted.get(part) ?? { unique: 0, own: 0 }
      of.unique += size
      if (names.size === 1) of.own += size
      counted.set(part, of)
    }
  }
  counted.delete('')
  return { ...sum, parts: [...counted].map(([part, bytes]) => ({ part, ...bytes })) }
}
