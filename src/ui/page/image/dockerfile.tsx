import type { Manifest } from '../../../api/answers.ts'
import { Copy } from '../parts/copy.tsx'
import { formatBytes } from '../parts/format.ts'
import type { Config } from './configuration.tsx'
import { parseInstruction } from './instruction.ts'

type DockerfileProps = { readonly config: Config; readonly layers: Manifest['layers'] }

/** The history of the image as the Dockerfile that it came from, with the size of each step. */
export function Dockerfile({ config, layers }: DockerfileProps) {
  const steps = config.history.map(({ createdBy, comment, layer }) => ({
    ...parseInstruction(createdBy),
    comment,
    size: layer === undefined ? undefined : layers[layer]?.size,
  }))
  const text = steps.map(({ keyword, rest }) => `${keyword} ${rest}`.trim()).join('\n')
  return (
    <div class="dockerfile">
      <div class="dockerfile-head">
        <p>From the image's history; files that were copied are not in it.</p>
        <Copy text={text} what="the Dockerfile" />
      </div>
      <ol>
        {steps.map(({ keyword, rest, comment, size }, at) => (
          <li key={at} title={comment}>
            <code>
              {keyword !== '' && <b>{keyword}</b>} {rest}
            </code>
            {size !== undefined && <span class="step-size">{formatBytes(size)}</span>}
          </li>
        ))}
      </ol>
    </div>
  )
}
