import { useEffect, useRef } from 'preact/hooks'
import type { Details, Files, Manifest } from '../../../api/answers.ts'
import { Equivalent } from '../parts/equivalent.tsx'
import { counted, formatBytes } from '../parts/format.ts'
import { ErrorMessage, Loading } from '../parts/message.tsx'
import { insecure } from '../parts/pull-commands.ts'
import { fullReference, type ImageLink, navigate } from '../route.ts'
import { useSession } from '../session.ts'
import { Directory } from './directory.tsx'
import { FileView } from './file-view.tsx'
import { LayerChoice } from './layer-choice.tsx'
import { layerName, parentOf } from './names.ts'
import { NotStored } from './not-stored.tsx'
import { PathCrumbs } from './path-crumbs.tsx'
import { useFiles } from './use-files.ts'
import { shellWord } from './visible-text.ts'

type FilesViewProps = {
  readonly name: string
  readonly manifest: Manifest
  readonly details: Details | undefined
  readonly path: string
  readonly layer: number | undefined
  readonly link: (to: ImageLink) => string
}

/** What is inside an image, or one of its layers: a directory, or a file. */
export function FilesView({ name, manifest, details, path, layer, link }: FilesViewProps) {
  const { digest } = manifest
  const found = useFiles({ name, digest, path, layer })
  const { answer, error, reload } = found
  const content = useFocusAfterMove(answer)
  const linkTo = (path: string, layer: number | undefined) =>
    link({ section: 'files', path: path || undefined, layer: layer?.toString() })
  const stored = new Map(details?.blobs.map((blob) => [blob.digest, blob.stored]))
  const isMissing = (at: number) => stored.get(manifest.layers[at]?.digest ?? '') === false
  const needed = layer === undefined ? manifest.layers.map((_, at) => at) : [layer]
  const missing = needed.filter(isMissing)

  return (
    <div class="look-inside" ref={content.ref}>
      <div class="look-inside-head">
        <PathCrumbs path={answer?.path ?? path} linkTo={(to) => linkTo(to, layer)} />
        <LayerChoice
          manifest={manifest}
          layer={layer}
          onChoose={(chosen) => navigate(linkTo(parentIfFile(answer, path), chosen))}
        />
      </div>
      {answer !== undefined && answer.file === undefined && (
        <p class="summary">{describe(answer, layer)}</p>
      )}
      {answer === undefined && error === undefined && (
        <>
          <Loading label="Reading the layers" />
          <p class="summary">The layers are read once; afterwards directories open at once.</p>
        </>
      )}
      {error !== undefined &&
        (missing.length > 0 ? (
          <NotStored
            missing={missing}
            others={manifest.layers.map((_, at) => at).filter((at) => !isMissing(at))}
            linkTo={(at) => linkTo('', at)}
            onRetry={reload}
          />
        ) : (
          <ErrorMessage error={error} onRetry={reload} />
        ))}
      {error?.status === 413 && layer === undefined && manifest.layers.length > 1 && (
        <p class="summary">Layers can be shown one by one: choose one above.</p>
      )}
      {answer?.file !== undefined && (
        <FileView place={{ name, digest, path, layer }} file={answer.file} linkTo={linkTo} />
      )}
      {answer !== undefined && answer.file === undefined && (
        <Directory
          key={`${layer} ${path}`}
          path={answer.path}
          files={found.files}
          isComplete={found.isComplete}
          layer={layer}
          linkTo={linkTo}
          onMove={content.moves}
        />
      )}
      <Terminal {...{ name, manifest, layer }} path={answer?.path ?? path} file={answer?.file} />
    </div>
  )
}

/** After a row was opened, the focus is in the list that replaces its list, or on the file. */
function useFocusAfterMove(answer: Files | undefined) {
  const ref = useRef<HTMLDivElement>(null)
  const isMoving = useRef(false)
  useEffect(() => {
    if (answer === undefined || !isMoving.current) return
    isMoving.current = false
    const find = (selector: string) => ref.current?.querySelector<HTMLElement>(selector)
    const target = find('.rows-body [tabindex="0"]') ?? find('.path-crumbs [aria-current]')
    target?.focus({ preventScroll: true })
  }, [answer])
  return {
    ref,
    moves: () => {
      isMoving.current = true
    },
  }
}

/** A file of one layer is often in no other. */
function parentIfFile(answer: Files | undefined, path: string): string {
  return answer?.file === undefined ? path : parentOf(path)
}

function describe({ totals, layers }: Files, layer: number | undefined): string {
  const where = layer === undefined ? 'In the image' : `In ${layerName(layer)}`
  const parts = [`${where}: ${counted(totals.files, 'file')}`, formatBytes(totals.size)]
  const hidden = layers.reduce((sum, share) => sum + share.hidden, 0)
  if (layer !== undefined && totals.removed > 0) parts.push(counted(totals.removed, 'whiteout'))
  else if (totals.removed > 0)
    parts.push(`upper layers remove or replace ${formatBytes(hidden)} of lower ones`)
  if (layers.length > 0 && layers.every(({ from }) => from === 'contents'))
    parts.push('by tables of contents')
  return parts.join(' · ')
}

type TerminalProps = Pick<FilesViewProps, 'name' | 'manifest' | 'path' | 'layer'> & {
  readonly file: Files['file']
}

/** The same with berth, and without it. */
function Terminal({ name, manifest, path, layer, file }: TerminalProps) {
  const session = useSession()
  const image = `${session.pullHost}/${fullReference(name, manifest.digest)}`
  const of = layer === undefined ? '' : ` --layer ${layer}`
  const where = path === '' ? '' : ` ${shellWord(`/${path}`)}`
  const blob = layer === undefined ? undefined : manifest.layers[layer]
  const tar = file === undefined ? 'tar -tv' : `tar -xO -- ${shellWord(path)}`
  const source =
    blob === undefined
      ? `crane export${insecure(session)} ${image} -`
      : `crane blob${insecure(session)} ${session.pullHost}/${name}@${blob.digest}${decompressor(blob.mediaType)}`
  return (
    <>
      <Equivalent command={`berth files ${image}${where}${of}`} />
      <Equivalent command={`${source} | ${tar}`} />
    </>
  )
}

function decompressor(mediaType: string): string {
  if (mediaType.endsWith('zstd')) return ' | zstd -dc'
  return mediaType.endsWith('gzip') ? ' | gzip -dc' : ''
}
