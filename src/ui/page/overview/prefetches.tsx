import type { Overview } from '../../../api/answers.ts'
import { PrefetchProgress } from '../cached/prefetch-progress.tsx'
import { Time } from '../parts/time.tsx'
import { fullReference, imageLink } from '../route.ts'

/** Images that are downloaded in advance, and those of the last minutes. */
export function Prefetches({ prefetches }: Pick<Overview, 'prefetches'>) {
  return (
    <ul class="downloads">
      {prefetches.map((prefetch) => {
        const { name, reference, digest, platforms, startedAt } = prefetch
        return (
          <li key={`${name}@${digest}`}>
            <p>
              <a href={imageLink(name, reference)}>{fullReference(name, reference)}</a>
              <span class="summary">
                {platforms.length > 0 && `${platforms.join(', ')} · `}
                <Time at={startedAt} />
              </span>
            </p>
            <PrefetchProgress prefetch={prefetch} />
          </li>
        )
      })}
    </ul>
  )
}
