import { setImmediate as yieldToOthers } from 'node:timers/promises'
import type { Digest } from '../oci/digest.ts'
import type { Usage } from './inventory.ts'

/** Digests that are counted before others get a turn. */
const stride = 2000

type Options = {
  /** What each part has; a part may occur several times. */
  readonly parts: Iterable<readonly [part: string, digests: Iterable<Digest>]>
  /** Undefined: it is not stored. */
  readonly sizeOf: (digest: Digest) => number | undefined
}

/** As {@link Usage}: the part with an empty name only shares the bytes of the others. */
export async function countUsage({ parts, sizeOf }: Options): Promise<Usage> {
  // Most digests have one owner, for which no set is made.
  const owners = new Map<Digest, string | Set<string>>()
  let turns = 0
  for (const [part, digests] of parts)
    for (const digest of digests) {
      const known = owners.get(digest)
      if (known instanceof Set) known.add(part)
      else if (known !== part)
        owners.set(digest, known === undefined ? part : new Set([known, part]))
      turns += 1
      if (turns % stride === 0) await yieldToOthers()
    }
  const counted = new Map<string, { unique: number; own: number }>()
  const sum = { unique: 0, own: 0 }
  for (const [digest, of] of owners) {
    turns += 1
    if (turns % stride === 0) await yieldToOthers()
    if (of === '') continue
    const size = sizeOf(digest) ?? 0
    const names = of instanceof Set ? of : [of]
    sum.unique += size
    if (!(of instanceof Set && of.has(''))) sum.own += size
    for (const part of names) {
      const bytes = counted.get(part) ?? { unique: 0, own: 0 }
      bytes.unique += size
      if (!(of instanceof Set)) bytes.own += size
      counted.set(part, bytes)
    }
  }
  counted.delete('')
  return { ...sum, parts: [...counted].map(([part, bytes]) => ({ part, ...bytes })) }
}
