import type { Manifest } from '../../../api/answers.ts'
import { formatBytes } from '../parts/format.ts'

type LayerChoiceProps = {
  readonly manifest: Manifest
  readonly layer: number | undefined
  readonly onChoose: (layer: number | undefined) => void
}

/** Characters of the instruction that made a layer. */
const maxInstruction = 50

export function LayerChoice({ manifest, layer, onChoose }: LayerChoiceProps) {
  const { layers, config } = manifest
  const madeBy = new Map(config?.history.map(({ layer, createdBy }) => [layer, createdBy]))
  return (
    <label class="layer-choice">
      <span class="hidden">Layers that are shown</span>
      <select
        value={layer === undefined ? '' : String(layer)}
        onChange={({ currentTarget: { value } }) =>
          onChoose(value === '' ? undefined : Number(value))
        }
      >
        <option value="">All layers, as containers see them</option>
        {layers.map(({ size }, at) => (
          <option key={at} value={String(at)}>
            {`Layer ${at + 1} · ${formatBytes(size)} ${short(madeBy.get(at))}`.trim()}
          </option>
        ))}
      </select>
    </label>
  )
}

function short(instruction = ''): string {
  const text = instruction.replaceAll(/\s+/g, ' ').trim()
  if (text === '') return ''
  return `· ${text.length > maxInstruction ? `${text.slice(0, maxInstruction)}…` : text}`
}
