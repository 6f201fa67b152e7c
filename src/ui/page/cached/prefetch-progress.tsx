import type { Prefetch } from '../../../api/answers.ts'
import { formatBytes, formatCount } from '../parts/format.ts'

const states: Readonly<Record<Prefetch['state'], string>> = {
  running: 'in the cache',
  done: 'in the cache',
  canceled: 'in the cache; canceled',
  failed: 'in the cache; failed',
}

/** How far a prefetch is. */
export function PrefetchProgress({ prefetch }: { readonly prefetch: Prefetch }) {
  const { state, stored, total, reference, problem } = prefetch
  const isRunning = state === 'running'
  return (
    <>
      <p class="download-bar">
        {isRunning && (
          <progress
            aria-label={`Prefetch of ${reference}`}
            max={Math.max(1, total.bytes)}
            value={total.blobs === 0 ? undefined : stored.bytes}
          />
        )}
        <span>
          {isRunning && total.blobs === 0
            ? 'Reading manifests'
            : `${formatBytes(stored.bytes)} of ${formatBytes(total.bytes)}, ${formatCount(stored.blobs)} of ${formatCount(total.blobs)} blobs ${states[state]}`}
        </span>
      </p>
      {problem !== undefined && <p class="warning">{problem}</p>}
    </>
  )
}
