import { useMemo, useState } from 'preact/hooks'
import { counted, formatBytes, formatCount } from '../parts/format.ts'
import { Icon } from '../parts/icon.tsx'
import { Message, Notice } from '../parts/message.tsx'
import { Rows } from '../parts/rows.tsx'
import { SearchField } from '../parts/search-field.tsx'
import { navigate } from '../route.ts'
import { FileCells } from './file-cells.tsx'
import { baseName, parentOf } from './names.ts'
import type { File } from './use-files.ts'
import { visibleName } from './visible-text.ts'

type DirectoryProps = {
  readonly path: string
  readonly files: readonly File[]
  readonly isComplete: boolean
  readonly layer: number | undefined
  readonly linkTo: (path: string, layer: number | undefined) => string
  /** Called before a row, or the directory above, is opened: the focus is in the list. */
  readonly onMove: () => void
}

/** What is in a directory: names are filtered, and sorted by size if one asks for it. */
export function Directory({ path, files, isComplete, layer, linkTo, onMove }: DirectoryProps) {
  const [filter, setFilter] = useState('')
  const [bySize, setBySize] = useState(false)
  const shown = useMemo(() => {
    const text = filter.trim().toLowerCase()
    const found = files.filter((file) => baseName(file.path).toLowerCase().includes(text))
    return bySize ? found.sort((one, other) => sizeOf(other) - sizeOf(one)) : found
  }, [files, filter, bySize])

  /** What upper layers removed is shown where it was. */
  const linkOf = (file: File) =>
    file.type === 'whiteout'
      ? undefined
      : linkTo(file.path, file.isRemoved && layer === undefined ? file.layer : layer)
  const open = (link: string | undefined) => {
    if (link === undefined) return
    onMove()
    navigate(link)
  }
  return (
    <>
      <div class="toolbar">
        <SearchField label="Filter names" value={filter} onValue={setFilter} />
        <p class="summary" role="status">
          {describe(shown, files.length)}
        </p>
      </div>
      {!isComplete && (
        <Notice>
          The first {formatCount(files.length)} entries of this directory. The command below lists
          all.
        </Notice>
      )}
      {shown.length === 0 ? (
        <Message
          title={files.length === 0 ? 'Nothing is here' : 'No name contains this'}
          icon="box"
        />
      ) : (
        <Rows
          role="grid"
          name={layer === undefined ? 'files' : 'files of-layer'}
          label={`Files in /${visibleName(path)}`}
          count={shown.length}
          heading={<Heading bySize={bySize} onSort={setBySize} />}
          row={(index) => {
            const file = shown[index]
            if (file === undefined) return { key: 'none', cells: null }
            return {
              key: file.path,
              cells: (
                <FileCells
                  file={file}
                  link={linkOf(file)}
                  layerLink={(changed) => linkTo(parentOf(file.path), changed)}
                />
              ),
            }
          }}
          onOpen={(index) => {
            const file = shown[index]
            open(file && linkOf(file))
          }}
          onKey={(key) => {
            if ((key !== 'Backspace' && key !== 'ArrowLeft') || path === '') return false
            open(linkTo(parentOf(path), layer))
            return true
          }}
        />
      )}
    </>
  )
}

function Heading({
  bySize,
  onSort,
}: {
  readonly bySize: boolean
  readonly onSort: (bySize: boolean) => void
}) {
  return (
    <>
      <span role="columnheader" class="name" aria-sort={bySize ? 'none' : 'ascending'}>
        <button
          type="button"
          class={bySize ? 'sort' : 'sort sorted asc'}
          onClick={() => onSort(false)}
        >
          Name
          <Icon name="arrow" />
        </button>
      </span>
      <span role="columnheader" class="number" aria-sort={bySize ? 'descending' : 'none'}>
        <button
          type="button"
          class={bySize ? 'sort sorted desc' : 'sort'}
          onClick={() => onSort(true)}
        >
          Size
          <Icon name="arrow" />
        </button>
      </span>
      <span role="columnheader" class="mode">
        Mode
      </span>
      <span role="columnheader" class="owner">
        Owner
      </span>
      <span role="columnheader" class="when">
        Modified
      </span>
      <span role="columnheader" class="by">
        Layer
      </span>
    </>
  )
}

function sizeOf({ below, size }: File): number {
  return below?.size ?? size
}

function describe(shown: readonly File[], all: number): string {
  const size = shown.reduce((sum, file) => sum + (file.isRemoved ? 0 : sizeOf(file)), 0)
  const count =
    shown.length === all
      ? counted(all, 'entry', 'entries')
      : `${formatCount(shown.length)} of ${counted(all, 'entry', 'entries')}`
  return `${count} · ${formatBytes(size)}`
}
