import type { Details, Manifest } from '../../../api/answers.ts'
import { Copy } from '../parts/copy.tsx'
import { Digest } from '../parts/digest.tsx'
import { counted, formatBytes } from '../parts/format.ts'
import { insecure } from '../parts/pull-commands.ts'
import { useSession } from '../session.ts'
import { parseInstruction } from './instruction.ts'

type LayersProps = {
  readonly name: string
  readonly manifest: Manifest
  readonly details: Details | undefined
  /** To the files of a layer, if it has any. */
  readonly insideLink: ((layer: number) => string) | undefined
}

/** The blobs of an image, the lowest first: what made them, how large they are, and where they are. */
export function Layers({ name, manifest, details, insideLink }: LayersProps) {
  const session = useSession()
  const { layers, config } = manifest
  const largest = Math.max(1, ...layers.map(({ size }) => size))
  const states = new Map(details?.blobs.map((state) => [state.digest, state]))
  const madeBy = new Map(config?.history.map(({ layer, createdBy }) => [layer, createdBy]))
  return (
    <div class="scroll">
      <table class="layers">
        <thead>
          <tr>
            <th scope="col">#</th>
            <th scope="col">Content</th>
            <th scope="col" class="number">
              Size
            </th>
            <th scope="col">Digest</th>
            <th scope="col">Shared</th>
            <th scope="col">Stored</th>
            <th scope="col">
              <span class="hidden">List its files</span>
            </th>
          </tr>
        </thead>
        <tbody>
          {layers.map((layer, at) => {
            const state = states.get(layer.digest)
            const command = `crane blob${insecure(session)} ${session.pullHost}/${name}@${layer.digest}`
            return (
              <tr key={at}>
                <td class="index">{at + 1}</td>
                <td class="content">
                  <LayerContent layer={layer} createdBy={madeBy.get(at)} />
                </td>
                <td class="number">
                  {formatBytes(layer.size)}
                  <Bar share={layer.size / largest} />
                </td>
                <td>
                  <Digest digest={layer.digest} />
                </td>
                <td>{state !== undefined && sharedLabel(state.sharedBy)}</td>
                <td>
                  {layer.foreign
                    ? 'elsewhere'
                    : state !== undefined && (state.stored ? 'yes' : 'not here')}
                </td>
                <td>
                  {insideLink !== undefined && state?.stored !== false && (
                    <a href={insideLink(at)} aria-label={`Look inside layer ${at + 1}`}>
                      Look inside
                    </a>
                  )}{' '}
                  <Copy text={command} what="a crane command for this blob" />
                </td>
              </tr>
            )
          })}
        </tbody>
      </table>
    </div>
  )
}

type LayerContentProps = {
  readonly layer: Manifest['layers'][number]
  readonly createdBy: string | undefined
}

export function LayerContent({ layer, createdBy }: LayerContentProps) {
  const text = layer.title ?? createdBy
  if (text === undefined) return <code>{layer.mediaType}</code>
  const { keyword, rest } =
    layer.title === undefined ? parseInstruction(text) : { keyword: '', rest: text }
  return (
    <code title={text}>
      {keyword !== '' && <b>{keyword} </b>}
      {rest.replaceAll(/ \\\n/g, '')}
    </code>
  )
}

function sharedLabel(count: number): string {
  return count === 0 ? 'no' : `with ${counted(count, 'other')}`
}

/** A length beside a number; the number says the same. */
function Bar({ share }: { readonly share: number }) {
  return (
    <svg class="bar" viewBox="0 0 100 4" preserveAspectRatio="none" aria-hidden="true">
      <rect width="100" height="4" class="bar-all" />
      <rect width={Math.max(0.5, share * 100)} height="4" class="bar-part" />
    </svg>
  )
}
