import type { Digest } from '../../oci/digest.ts'
import type { Tag } from '../../oci/reference.ts'

/** What became of an image that was to be removed. */
export type DeletionResult = {
  readonly image: string
  readonly state: 'deleted' | 'absent' | 'kept' | 'failed'
  readonly digest?: Digest
  /** Other tags of the digest, which went with it or kept it. */
  readonly tags?: readonly Tag[]
  /** Why it was kept, or what failed, also after the deletion. */
  readonly reason?: string
}

export function describeDeletion({
  image,
  state,
  digest,
  tags = [],
  reason,
}: DeletionResult): string {
  const others = tags.length === 0 ? '' : ` (other tags: ${tags.join(', ')})`
  switch (state) {
    case 'deleted':
      return `${image}: deleted${tags.length === 0 ? '' : `, with ${tags.join(', ')}`}${reason === undefined ? '' : `; ${reason}`}`
    case 'absent':
      return `${image}: was not there`
    case 'kept':
      return `${image}: kept ${digest}: ${reason}${others}`
    case 'failed':
      return `${image}: not deleted: ${reason}${others}`
  }
}
