import type { Overview } from '../../../api/answers.ts'
import { Digest } from '../parts/digest.tsx'
import { counted, formatBytes } from '../parts/format.ts'
import { Time } from '../parts/time.tsx'
import { imageLink } from '../route.ts'

/** Blobs that are on their way from an upstream, and how many clients wait for each. */
export function Downloads({ downloads }: Pick<Overview, 'downloads'>) {
  return (
    <ul class="downloads">
      {downloads.map(({ name, digest, startedAt, received, size, readers }) => (
        <li key={digest}>
          <p>
            <a href={imageLink(name)}>{name}</a>
            <Digest digest={digest} />
            <span class="summary">
              {counted(readers, 'client')} · <Time at={startedAt} />
            </span>
          </p>
          <p class="download-bar">
            <progress
              aria-label={`Download of ${digest}`}
              max={size ?? 1}
              value={size && received}
            />
            <span>
              {formatBytes(received)}
              {size !== undefined && ` of ${formatBytes(size)}`}
            </span>
          </p>
        </li>
      ))}
    </ul>
  )
}
