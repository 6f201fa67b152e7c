import type { Manifest } from '../../../api/answers.ts'

type Layer = Manifest['layers'][number]

export type LayerChange = {
  readonly kind: 'shared' | 'removed' | 'added'
  readonly layer: Layer
  readonly createdBy: string | undefined
}

/** The layers of two images, the lowest first; a layer that is replaced comes before what replaces it. */
export function layerChanges(before: Manifest, after: Manifest): readonly LayerChange[] {
  const own = before.layers.map(({ digest }) => digest)
  const kept = new Set(after.layers.map(({ digest }) => digest))
  const madeBy = [before, after].map(
    ({ config }) => new Map(config?.history.map(({ layer, createdBy }) => [layer, createdBy])),
  )
  const changes: LayerChange[] = []
  let next = 0
  const removeUntil = (end: number) => {
    for (; next < end; next += 1) {
      const layer = before.layers[next]
      if (layer !== undefined && !kept.has(layer.digest))
        changes.push({ kind: 'removed', layer, createdBy: madeBy[0]?.get(next) })
    }
  }
  for (const [at, layer] of after.layers.entries()) {
    const isShared = own.includes(layer.digest)
    // Up to the next layer that both have.
    const place = own.findIndex((digest, index) => index >= next && kept.has(digest))
    removeUntil(isShared ? own.indexOf(layer.digest) + 1 : place < 0 ? own.length : place)
    const kind = isShared ? 'shared' : 'added'
    changes.push({ kind, layer, createdBy: madeBy[1]?.get(at) })
  }
  removeUntil(own.length)
  return changes
}

export function sizeOf(
  changes: readonly LayerChange[],
  ...kinds: readonly LayerChange['kind'][]
): number {
  return changes
    .filter(({ kind }) => kinds.includes(kind))
    .reduce((sum, { layer }) => sum + layer.size, 0)
}
