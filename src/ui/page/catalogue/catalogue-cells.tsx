import { counted, formatBytes, formatCount } from '../parts/format.ts'
import { Icon } from '../parts/icon.tsx'
import { None, Time } from '../parts/time.tsx'
import { imageLink, prefixLink } from '../route.ts'
import type { Row } from './tree.ts'

type CellsProps = { readonly row: Row; readonly onFold: () => void }

export function CatalogueCells({ row, onFold }: CellsProps) {
  const { repository, group } = row
  const size = repository === undefined ? group?.size : repository.size
  const tags = repository === undefined ? group?.tags : repository.tags
  return (
    <>
      <span role="gridcell" class={`name depth-${Math.min(row.depth, 6)}`}>
        {group === undefined ? (
          <span class="leaf" />
        ) : (
          <button
            type="button"
            class={group.isOpen ? 'quiet fold open' : 'quiet fold'}
            tabIndex={-1}
            aria-label={`${group.isOpen ? 'Close' : 'Open'} ${row.path}`}
            onClick={onFold}
          >
            <Icon name="chevron" />
          </button>
        )}
        <a
          href={repository === undefined ? prefixLink(row.path) : imageLink(row.path)}
          class={repository === undefined ? 'prefix' : 'repository'}
          tabIndex={-1}
        >
          {row.label}
        </a>
        {repository?.kind === 'cached' && (
          <span class="badge" title={`Pulled from ${repository.upstream ?? 'an upstream'}`}>
            cached
          </span>
        )}
        {repository === undefined && group !== undefined && (
          <span class="count">{counted(group.repositories, 'repository', 'repositories')}</span>
        )}
      </span>
      <span role="gridcell" class="number">
        {tags === undefined ? <None /> : formatCount(tags)}
      </span>
      <span role="gridcell" class="number" title={sizeTitle(row)}>
        {size === undefined ? <None /> : formatBytes(size)}
      </span>
      <span role="gridcell" class="when">
        {repository !== undefined && <Time at={repository.pushedAt ?? repository.checkedAt} />}
      </span>
      <span role="gridcell" class="when">
        {repository !== undefined && <Time at={repository.pulledAt} />}
      </span>
    </>
  )
}

function sizeTitle({ repository }: Row): string {
  if (repository === undefined) return 'Layers that repositories share count in each of them'
  return repository.ownSize === undefined
    ? 'All stored layers and manifests, each once'
    : `${formatBytes(repository.ownSize)} are in no other repository`
}
