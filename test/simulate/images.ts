import { createRandom, logNormal } from './random.ts'

export type Layer = { readonly id: number; readonly size: number }
/** Layers, lowest first. */
export type Image = readonly Layer[]

/**
 * Sizes of compressed layers vary over five orders of magnitude: most are small, and a few large ones are most of
 * the bytes. Bytes; the largest are those of images for machine learning.
 */
const median = 3e6
const sigma = 2
const maxLayer = 2e9
const minLayer = 200
/** Images are built on one of so many bases, each of two layers. */
const bases = 3
const baseLayers = 2
const [minOwn, maxOwn] = [4, 10]

/** Images of 6 to 12 layers, some of them shared. */
export function makeImages(count: number, seed: number): readonly Image[] {
  const random = createRandom(seed)
  let id = 0
  const makeLayers = (length: number) =>
    Array.from({ length }, () => {
      id += 1
      const size = Math.round(logNormal(random, median, sigma))
      return { id, size: Math.min(maxLayer, Math.max(minLayer, size)) }
    })
  const shared = Array.from({ length: bases }, () => makeLayers(baseLayers))
  return Array.from({ length: count }, () => {
    const base = shared[Math.floor(random() * bases)] ?? []
    return [...base, ...makeLayers(minOwn + Math.floor(random() * (maxOwn - minOwn + 1)))]
  })
}

/** Bytes of all layers, each counted once. */
export function sizeOf(images: readonly Image[]): number {
  const sizes = new Map(images.flat().map(({ id, size }) => [id, size]))
  return [...sizes.values()].reduce((sum, size) => sum + size, 0)
}
