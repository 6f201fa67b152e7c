import { Digest } from '../parts/digest.tsx'
import { counted, formatBytes, shortDigest } from '../parts/format.ts'
import { kindLabel, platformsLabel, storedLabel } from '../parts/labels.ts'
import { None, Time } from '../parts/time.tsx'
import { imageLink } from '../route.ts'
import { Expiry } from './expiry.tsx'
import type { Tag } from './use-tags.ts'

type CellsProps = {
  readonly name: string
  readonly tag: Tag
  readonly isCached: boolean
  readonly isSelected: boolean
  readonly onToggle: () => void
}

export function TagCells({ name, tag, isCached, isSelected, onToggle }: CellsProps) {
  const { kind, platforms, size, digest, inUse, pinned, stored } = tag
  return (
    <>
      <span role="gridcell" class="select">
        <input
          type="checkbox"
          checked={isSelected}
          tabIndex={-1}
          aria-label={`Select ${tag.tag}`}
          onChange={onToggle}
        />
      </span>
      <span role="gridcell" class="name">
        <a href={imageLink(name, tag.tag)} tabIndex={-1} title={tag.tag}>
          {tag.tag}
        </a>
        {kind !== undefined && kind !== 'image' && kind !== 'index' && (
          <span class="badge">{kindLabel(kind)}</span>
        )}
        {tag.running.length > 0 && (
          <a
            class="badge warn"
            href={imageLink(name, tag.tag, { section: 'uses' })}
            tabIndex={-1}
            title={runningTitle(tag)}
          >
            {tag.running.length > 1 ? `runs ${tag.running.length} images` : 'runs another image'}
          </a>
        )}
      </span>
      <span role="gridcell" class="platforms" title={platforms.join(', ')}>
        {platforms.length === 0 ? <None /> : platformsLabel(platforms)}
      </span>
      <span role="gridcell" class="number">
        {size === undefined ? <None /> : formatBytes(size)}
      </span>
      <span role="gridcell" class="digest-cell">
        <Digest digest={digest} href={imageLink(name, digest)} tabIndex={-1} isShort />
      </span>
      <span role="gridcell" class="when" title={tag.pushedBy && `Pushed by ${tag.pushedBy}`}>
        <Time at={isCached ? tag.checkedAt : tag.pushedAt} />
      </span>
      <span role="gridcell" class="when pulled">
        <Time at={tag.pulledAt} />
      </span>
      <span role="gridcell" class="state">
        {inUse && (
          <span class="badge strong" title="A workload names this image">
            in use
          </span>
        )}
        {pinned && <span class="badge strong">pinned</span>}
        {stored !== 'all' && (
          <span class="badge" title={storedLabel(stored)}>
            {stored === 'part' ? 'partly stored' : 'not stored'}
          </span>
        )}
        {tag.expiry !== undefined && <Expiry expiry={tag.expiry} />}
      </span>
    </>
  )
}

function runningTitle({ digest, running }: Tag): string {
  const parts = running.map(
    (each) =>
      `${counted(each.pods, 'pod')} ${each.digest === digest ? 'this one' : shortDigest(each.digest)}`,
  )
  return `Pods that name this tag run: ${parts.join(', ')}`
}
