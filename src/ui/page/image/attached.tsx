import type { Details, Manifest } from '../../../api/answers.ts'
import { Digest } from '../parts/digest.tsx'
import { Equivalent } from '../parts/equivalent.tsx'
import { formatBytes } from '../parts/format.ts'
import { Icon, type IconName } from '../parts/icon.tsx'
import { kindLabel } from '../parts/labels.ts'
import { Notice } from '../parts/message.tsx'
import { isPlainHttp } from '../parts/pull-commands.ts'
import { fullReference, imageLink } from '../route.ts'
import { useSession } from '../session.ts'

type Referrer = Details['referrers'][number]

type AttachedProps = {
  readonly name: string
  readonly referrers: readonly Referrer[]
  readonly attestations: Manifest['children']
  readonly isTruncated: boolean
  /** What they are attached to. */
  readonly digest: string
}

/** Signatures, SBOMs and other artifacts that name the image, and what is attached to those. */
export function Attached({ name, referrers, attestations, isTruncated, digest }: AttachedProps) {
  const session = useSession()
  return (
    <>
      {isTruncated && <Notice>More are attached than are shown.</Notice>}
      <ul class="attached">
        {attestations.map((child) => (
          <li key={child.digest}>
            <Entry name={name} entry={{ ...child, kind: 'attestation' }} note="by the builder" />
          </li>
        ))}
        {referrers.map((referrer) => (
          <ReferrerNode key={referrer.digest} name={name} referrer={referrer} />
        ))}
      </ul>
      {referrers.length > 0 && (
        <Equivalent
          command={`oras discover${isPlainHttp(session) ? ' --plain-http' : ''} ${session.pullHost}/${fullReference(name, digest)}`}
        />
      )}
    </>
  )
}

function ReferrerNode({ name, referrer }: { readonly name: string; readonly referrer: Referrer }) {
  return (
    <li>
      <Entry
        name={name}
        entry={referrer}
        note={referrer.tag === undefined ? undefined : `by the tag ${referrer.tag}`}
      />
      {referrer.referrers.length > 0 && (
        <ul>
          {referrer.referrers.map((next) => (
            <ReferrerNode key={next.digest} name={name} referrer={next} />
          ))}
        </ul>
      )}
    </li>
  )
}

const icons: Partial<Record<Referrer['kind'], IconName>> = {
  signature: 'key',
  sbom: 'info',
  attestation: 'check',
}

type EntryProps = {
  readonly name: string
  readonly entry: Pick<Referrer, 'digest' | 'kind' | 'size' | 'artifactType' | 'annotations'>
  readonly note: string | undefined
}

function Entry({ name, entry, note }: EntryProps) {
  const { digest, kind, size, artifactType, annotations } = entry
  const created = annotations['org.opencontainers.image.created']
  return (
    <div class="entry">
      <Icon name={icons[kind] ?? 'box'} />
      <a href={imageLink(name, digest)}>{kindLabel(kind)}</a>
      {artifactType !== undefined && <code>{artifactType}</code>}
      {note !== undefined && <span class="summary">{note}</span>}
      {created !== undefined && <span class="summary">{created}</span>}
      <span class="summary">{formatBytes(size)}</span>
      <Digest digest={digest} />
    </div>
  )
}
