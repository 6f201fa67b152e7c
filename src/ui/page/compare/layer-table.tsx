import { LayerContent } from '../image/layers.tsx'
import { Digest } from '../parts/digest.tsx'
import { formatBytes } from '../parts/format.ts'
import { ChangeMark } from './change-mark.tsx'
import type { LayerChange } from './layer-changes.ts'

/** The layers of both images, the lowest first. */
export function LayerTable({ changes }: { readonly changes: readonly LayerChange[] }) {
  return (
    <div class="scroll">
      <table class="layers">
        <thead>
          <tr>
            <th scope="col">Change</th>
            <th scope="col">Content</th>
            <th scope="col" class="number">
              Size
            </th>
            <th scope="col">Digest</th>
          </tr>
        </thead>
        <tbody>
          {changes.map(({ kind, layer, createdBy }, at) => (
            <tr key={at} class={kind}>
              <td>
                {kind === 'shared' ? (
                  <span class="summary">shared</span>
                ) : (
                  <ChangeMark {...{ kind }} />
                )}
              </td>
              <td class="content">
                <LayerContent layer={layer} createdBy={createdBy} />
              </td>
              <td class="number">{formatBytes(layer.size)}</td>
              <td>
                <Digest digest={layer.digest} />
              </td>
            </tr>
          ))}
        </tbody>
      </table>
    </div>
  )
}
