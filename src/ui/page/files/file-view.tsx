import { formatBytes } from '../parts/format.ts'
import { Time } from '../parts/time.tsx'
import { Download } from './download.tsx'
import { FileText } from './file-text.tsx'
import { changesOf, layerName, modeOf, typeLabel } from './names.ts'
import type { File, Place } from './use-files.ts'
import { visibleName } from './visible-text.ts'

type FileViewProps = {
  readonly place: Place
  readonly file: File
  readonly linkTo: (path: string, layer: number | undefined) => string
}

const verbs = { added: 'added by', changed: 'changed by', removed: 'removed by' } as const

/** One file: what it is, which layers put it there, and its text. */
export function FileView({ place, file, linkTo }: FileViewProps) {
  const hasContent = file.type === 'file' || (file.type === 'hardlink' && file.size > 0)
  const found = { ...place, path: file.path }
  return (
    <>
      <dl class="facts">
        <div>
          <dt>Type</dt>
          <dd>
            {typeLabel(file)}
            {file.link !== undefined && (
              <>
                {' to '}
                <code>{visibleName(file.link)}</code>
              </>
            )}
          </dd>
        </div>
        <div>
          <dt>Size</dt>
          <dd title={`${file.size} bytes`}>{formatBytes(file.size)}</dd>
        </div>
        <div>
          <dt>Mode and owner</dt>
          <dd>
            <code>{modeOf(file)}</code> {file.uid}:{file.gid}
          </dd>
        </div>
        <div>
          <dt>Modified</dt>
          <dd>
            <Time at={timeOf(file)} />
          </dd>
        </div>
        <div>
          <dt>Layers</dt>
          <dd>
            {changesOf(file).map(({ layer, change }) => (
              <span key={layer}>
                {verbs[change]} <a href={linkTo(file.path, layer)}>{layerName(layer)}</a>
              </span>
            ))}
          </dd>
        </div>
      </dl>
      {hasContent && <Download place={found} size={file.size} />}
      {hasContent ? <FileText place={found} /> : <p class="empty">{withoutContent(file)}</p>}
    </>
  )
}

export function timeOf({ modified }: File): string | undefined {
  const date = new Date(modified * 1000)
  return Number.isNaN(date.getTime()) ? undefined : date.toISOString()
}

function withoutContent({ type }: File): string {
  if (type === 'whiteout') return 'This layer removes what lower layers have at this path.'
  if (type === 'hardlink') return 'The file that it links to is in another layer.'
  return 'It has no content.'
}
