import { useEffect, useState } from 'preact/hooks'
import type { ComparedImage } from '../api.ts'
import { formatBytes, formatChange, formatCount } from '../parts/format.ts'
import { Loading, Message, PartError } from '../parts/message.tsx'
import { Rows } from '../parts/rows.tsx'
import { SearchField } from '../parts/search-field.tsx'
import { imageLink, navigate } from '../route.ts'
import { ChangeMark } from './change-mark.tsx'
import type { Differences, FileDifference, FileFilter } from './use-differences.ts'

type FileListProps = {
  readonly before: ComparedImage
  readonly after: ComparedImage
  readonly files: Differences
  readonly filter: FileFilter
  readonly onFilter: (filter: FileFilter) => void
}

/** Files that differ, by their paths. */
export function FileList({ before, after, files, filter, onFilter }: FileListProps) {
  const linkOf = ({ path, change }: FileDifference) => {
    const { name, digest } = change === 'removed' ? before : after
    return imageLink(name, digest, { section: 'files', path })
  }
  const { answer, rows, hasMore, error } = files
  const [text, setText] = useState(filter.filter)
  useEffect(() => {
    const timer = setTimeout(() => onFilter({ ...filter, filter: text.trim() }), 150)
    return () => clearTimeout(timer)
  }, [text])

  if (error !== undefined && answer === undefined)
    return <PartError what="Files cannot be compared" error={error} onRetry={files.retry} />
  if (answer === undefined) return <Reading files={files} />
  const { added, removed, changed } = answer.totals
  const all = added.count + removed.count + changed.count
  if (all === 0)
    return (
      <Message title="The files do not differ" icon="check">
        <p>Times do not count.</p>
      </Message>
    )
  const kinds = [
    { kind: undefined, label: 'All', count: all },
    { kind: 'added', label: 'Added', count: added.count },
    { kind: 'removed', label: 'Removed', count: removed.count },
    { kind: 'changed', label: 'Changed', count: changed.count },
  ] as const
  return (
    <>
      {error !== undefined && (
        <PartError what="More files cannot be shown" error={error} onRetry={files.retry} />
      )}
      <div class="toolbar">
        <SearchField label="Filter files" value={text} onValue={setText} />
        <fieldset class="choices">
          <legend class="hidden">Which files</legend>
          {kinds.map(({ kind, label, count }) => (
            <label key={label}>
              <input
                type="radio"
                name="change"
                checked={filter.change === kind}
                onChange={() => onFilter({ ...filter, change: kind })}
              />
              <span>
                {label} <span class="count">{formatCount(count)}</span>
              </span>
            </label>
          ))}
        </fieldset>
      </div>
      {rows.length === 0 && !hasMore && <Message title="No file matches" icon="search" />}
      {rows.length > 0 && (
        <Rows
          role="grid"
          name="differences"
          label="Files that differ"
          count={rows.length + (hasMore ? 1 : 0)}
          onVisible={(_first, last) => {
            if (last >= rows.length) files.more()
          }}
          heading={
            <>
              <span role="columnheader">Change</span>
              <span role="columnheader">Path</span>
              <span role="columnheader" class="number">
                Before
              </span>
              <span role="columnheader" class="number">
                After
              </span>
              <span role="columnheader" class="number delta">
                Difference
              </span>
              <span role="columnheader" class="fields">
                What
              </span>
            </>
          }
          row={(index) => {
            const file = rows[index]
            return {
              key: String(index),
              cells:
                file === undefined ? (
                  <span role="gridcell" class="awaited" aria-label="Loading" />
                ) : (
                  <Cells file={file} link={linkOf(file)} />
                ),
            }
          }}
          onOpen={(index) => {
            const file = rows[index]
            if (file !== undefined) navigate(linkOf(file))
          }}
        />
      )}
    </>
  )
}

type CellsProps = { readonly file: FileDifference; readonly link: string }

function Cells({ file, link }: CellsProps) {
  const { path, change, before, after } = file
  const [sizeBefore, sizeAfter] = [before, after].map((side) =>
    side?.type === 'file' ? side.size : undefined,
  )
  const isFile = sizeBefore !== undefined || sizeAfter !== undefined
  const isDirectory = (after ?? before)?.type === 'directory'
  return (
    <>
      <span role="gridcell" class="change">
        <ChangeMark kind={change} />
      </span>
      <span role="gridcell" class="path" title={path}>
        <a href={link} tabIndex={-1}>
          <bdi>
            {path}
            {isDirectory && '/'}
          </bdi>
        </a>
      </span>
      <span role="gridcell" class="number">
        {sizeBefore !== undefined && formatBytes(sizeBefore)}
      </span>
      <span role="gridcell" class="number">
        {sizeAfter !== undefined && formatBytes(sizeAfter)}
      </span>
      <span role="gridcell" class="number delta">
        {isFile && formatChange((sizeAfter ?? 0) - (sizeBefore ?? 0))}
      </span>
      <span role="gridcell" class="fields" title={describe(file)}>
        {describe(file)}
      </span>
    </>
  )
}

function describe({ fields = [], before, after }: FileDifference): string {
  if (before === undefined || after === undefined) {
    const only = before ?? after
    return only?.link === undefined ? (only?.type ?? '') : `${only.type} to ${only.link}`
  }
  const texts = {
    type: `${before.type} → ${after.type}`,
    size: 'size',
    mode: `mode ${before.mode.toString(8)} → ${after.mode.toString(8)}`,
    owner: `owner ${before.uid}:${before.gid} → ${after.uid}:${after.gid}`,
    link: `link ${before.link ?? ''} → ${after.link ?? ''}`,
    content: 'content',
  } as const
  return fields.map((field) => texts[field]).join(', ')
}

function Reading({ files: { reading, isWaiting } }: { readonly files: Differences }) {
  if (isWaiting)
    return (
      <>
        <Loading label="Waiting" />
        <p class="summary" role="status">
          Others are looking into images at this moment. This waits for its turn.
        </p>
      </>
    )
  if (reading === undefined || reading.read >= reading.size)
    return <Loading label="Comparing the files" />
  return (
    <p class="reading" role="status">
      <span>
        Reading the layers: {formatBytes(reading.read)} of {formatBytes(reading.size)}
      </span>
      <progress max={Math.max(1, reading.size)} value={reading.read} aria-label="Layers read" />
    </p>
  )
}
