import type { Details } from '../../../api/answers.ts'
import { counted, shortDigest } from '../parts/format.ts'
import { Notice } from '../parts/message.tsx'
import { compareLink, imageLink } from '../route.ts'

type RunningNoticeProps = {
  readonly name: string
  readonly digest: string
  readonly running: Details['running'][number]
}

/** Says that pods which name one tag run more than one image, or another one than it points to. */
export function RunningNotice({ name, digest, running: { tag, digests } }: RunningNoticeProps) {
  const others = digests.filter((each) => each.digest !== digest)
  const own = digests.find((each) => each.digest === digest)
  return (
    <Notice>
      {own === undefined
        ? `No pod that names ${tag} runs this image: `
        : `Pods that name ${tag} run ${counted(digests.length, 'image')}: ${counted(own.pods, 'pod')} this one, `}
      {others.map((other, at) => (
        <span key={other.digest}>
          {at > 0 && ', '}
          {counted(other.pods, 'pod')}{' '}
          <a href={imageLink(name, other.digest)}>{shortDigest(other.digest)}</a> (
          <a href={compareLink({ name, reference: other.digest }, { name, reference: digest })}>
            compare
          </a>
          )
        </span>
      ))}
      . Pods run what the tag pointed to when they started.
    </Notice>
  )
}
