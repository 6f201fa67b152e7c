import { counted, formatBytes } from '../parts/format.ts'
import { Icon } from '../parts/icon.tsx'
import { Time } from '../parts/time.tsx'
import { timeOf } from './file-view.tsx'
import { baseName, changesOf, layerName, modeOf, typeLabel } from './names.ts'
import type { File } from './use-files.ts'
import { visibleName } from './visible-text.ts'

type CellsProps = {
  readonly file: File
  /** Undefined: there is nothing to open. */
  readonly link: string | undefined
  readonly layerLink: (layer: number) => string
}

export function FileCells({ file, link, layerLink }: CellsProps) {
  const { type, below, isRemoved, isOpaque } = file
  const label = visibleName(baseName(file.path))
  const isDirectory = type === 'directory'
  const size = below?.size ?? file.size
  const changes = changesOf(file)
  return (
    <>
      <span role="gridcell" class={isRemoved || type === 'whiteout' ? 'name gone' : 'name'}>
        <Icon name={isDirectory ? 'folder' : type === 'symlink' ? 'link' : 'file'} />
        {link === undefined ? (
          <s>{label}</s>
        ) : (
          <a href={link} tabIndex={-1} title={label}>
            {label}
            {isDirectory && '/'}
          </a>
        )}
        {file.link !== undefined && <span class="target">→ {visibleName(file.link)}</span>}
        {isRemoved && <span class="badge">removed</span>}
        {type === 'whiteout' && (
          <span class="badge" title="The layer removes what lower layers have at this path">
            hides lower layers
          </span>
        )}
        {isOpaque && (
          <span
            class="badge"
            title="The layer removes all that lower layers have in this directory"
          >
            hides lower layers
          </span>
        )}
        {hasOwnLabel(file) && <span class="badge">{typeLabel(file)}</span>}
      </span>
      <span
        role="gridcell"
        class="number"
        title={below && counted(below.files, 'file')}
        aria-label={type === 'symlink' ? 'none' : undefined}
      >
        {type === 'symlink' || type === 'whiteout' ? '' : formatBytes(size)}
      </span>
      <span role="gridcell" class="mode">
        {type !== 'whiteout' && <code>{modeOf(file)}</code>}
      </span>
      <span role="gridcell" class="owner">
        {type !== 'whiteout' && `${file.uid}:${file.gid}`}
      </span>
      <span role="gridcell" class="when">
        {file.modified > 0 && <Time at={timeOf(file)} />}
      </span>
      <span role="gridcell" class="by" title={changes.map(describe).join(', ')}>
        {changes.map(({ layer, change }, at) => (
          <span key={layer}>
            {at > 0 && ' → '}
            <a
              href={layerLink(layer)}
              tabIndex={-1}
              class={change}
              aria-label={describe({ layer, change })}
            >
              {layer + 1}
            </a>
          </span>
        ))}
      </span>
    </>
  )
}

function hasOwnLabel({ type }: File): boolean {
  return !['file', 'directory', 'symlink', 'whiteout'].includes(type)
}

function describe({ layer, change }: File['changes'][number]): string {
  return `${change} by ${layerName(layer)}`
}
