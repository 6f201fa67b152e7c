import { formatBytes } from '../parts/format.ts'
import { Icon } from '../parts/icon.tsx'
import { usersOf } from '../removal/removal-list.tsx'
import type { CacheItem } from './action.ts'
import { PrefetchProgress } from './prefetch-progress.tsx'

type ItemsProps = { readonly items: readonly CacheItem[]; readonly isDone: boolean }

/** Each tag or digest, and what became of it. */
export function CacheItems({ items, isDone }: ItemsProps) {
  return (
    <ul class="removals">
      {items.map((item) => (
        <li key={item.reference}>
          <Icon name={iconOf(item, isDone)} />
          <div>
            <code>{item.reference}</code>
            {item.text !== undefined && (
              <p class={item.isFailed ? 'warning' : undefined}>{item.text}</p>
            )}
            {item.prefetch !== undefined && <PrefetchProgress prefetch={item.prefetch} />}
            {item.eviction !== undefined && <EvictionLines eviction={item.eviction} />}
          </div>
        </li>
      ))}
    </ul>
  )
}

function iconOf({ isFailed, eviction, text }: CacheItem, isDone: boolean) {
  if (isFailed === true || eviction?.blocked !== undefined) return 'alert'
  return isDone || text !== undefined ? 'check' : 'box'
}

function EvictionLines({ eviction }: { readonly eviction: NonNullable<CacheItem['eviction']> }) {
  const { blocked, evicted, frees, stays, inUse } = eviction
  if (blocked !== undefined) return <p class="warning">Cannot be evicted: {blocked}</p>
  return (
    <>
      {inUse.isInUse && (
        <p class="warning">
          In use{usersOf(inUse.uses)}: nodes that need it pull it from the upstream again
        </p>
      )}
      {!inUse.isInUse && !inUse.known && inUse.problem !== undefined && (
        <p>It is not known whether workloads use it: {inUse.problem}</p>
      )}
      <p>
        {evicted ? 'Freed' : 'Frees'} {formatBytes(frees)}
        {stays > 0 && `; ${formatBytes(stays)} stay, which other images have`}
      </p>
    </>
  )
}
