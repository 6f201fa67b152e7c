import type { ComponentChildren } from 'preact'
import type { Details, Manifest } from '../../../api/answers.ts'
import { Digest } from '../parts/digest.tsx'
import { formatBytes } from '../parts/format.ts'
import { kindLabel } from '../parts/labels.ts'
import { Time } from '../parts/time.tsx'
import { imageLink } from '../route.ts'
import { Expiry } from '../tags/expiry.tsx'

type FactsProps = {
  readonly name: string
  readonly manifest: Manifest
  readonly details: Details | undefined
}

/** What one wants to know first: what it is, how large, how old, and who needs it. */
export function ImageFacts({ name, manifest, details }: FactsProps) {
  const { kind, artifactType, digest, totalSize, children, subject } = manifest
  const isIndex = children.length > 0
  const tags = details?.tags ?? []
  return (
    <dl class="facts">
      <Fact name="Kind">
        {kindLabel(kind)}
        {artifactType !== undefined && !isIndex && !knownKinds.has(kind) && (
          <code>{artifactType}</code>
        )}
      </Fact>
      <Fact name="Digest">
        <Digest digest={digest} href={imageLink(name, digest)} />
      </Fact>
      {!isIndex && <Fact name="Size">{formatBytes(totalSize)}</Fact>}
      {details?.pushedAt !== undefined && (
        <Fact name="Pushed">
          <Time at={details.pushedAt} />
          {details.pushedBy !== undefined && ` by ${details.pushedBy}`}
        </Fact>
      )}
      {details?.pulledAt !== undefined && (
        <Fact name="Pulled">
          <Time at={details.pulledAt} />
        </Fact>
      )}
      {tags.length > 0 && (
        <Fact name="Tags">
          {tags.slice(0, maxTags).map((tag) => (
            <a key={tag} class="badge" href={imageLink(name, tag)}>
              {tag}
            </a>
          ))}
          {tags.length > maxTags && `and ${tags.length - maxTags} more`}
        </Fact>
      )}
      {subject !== undefined && (
        <Fact name="Attached to">
          <Digest digest={subject.digest} href={imageLink(name, subject.digest)} />
        </Fact>
      )}
      {details?.parents.map((parent) => (
        <Fact key={parent} name="Part of">
          <Digest digest={parent} href={imageLink(name, parent)} />
        </Fact>
      ))}
      {details?.inUse.isInUse === true && (
        <Fact name="Workloads">
          <span class="badge strong">in use</span>
        </Fact>
      )}
      {details?.pinned === true && (
        <Fact name="Pinned">
          <span class="badge strong">pinned</span>
        </Fact>
      )}
      {details?.expiry !== undefined && (
        <Fact name="Retention">
          <Expiry expiry={details.expiry} />
        </Fact>
      )}
    </dl>
  )
}

const maxTags = 12
/** Their artifact type says nothing more. */
const knownKinds: ReadonlySet<Manifest['kind']> = new Set(['image', 'chart'])

type FactProps = { readonly name: string; readonly children: ComponentChildren }

export function Fact({ name, children }: FactProps) {
  return (
    <div>
      <dt>{name}</dt>
      <dd>{children}</dd>
    </div>
  )
}
