import {
  type Blob,
  blobOf,
  family,
  type Image,
  makeImage,
  makeIndex,
  randomBlob,
} from '../support/images.ts'

/** What a random history pushes: few blobs, so that images share them. */
export type World = { readonly blobs: readonly Blob[]; readonly images: readonly Image[] }

export function makeWorld(): World {
  const layers = [...Array.from({ length: 4 }, () => randomBlob(64)), wide('one'), wide('two')]
  const image = (at: number, extra = {}) =>
    makeImage({
      layers: layers.filter((_, index) => (at + 1) & (1 << index)),
      architecture: `a${at % 3}`,
      extra,
    })
  const plain = [1, 4, 9, 22, 37, 50].map((at) => image(at))
  const inner = makeIndex(plain.slice(0, 2))
  const outer = makeIndex([inner, ...plain.slice(2, 3)])
  const referrers = [outer, ...plain.slice(0, 1)].map(({ mediaType, digest, bytes }, at) =>
    image(at + 7, { subject: { mediaType, digest, size: bytes.length } }),
  )
  const images = [...plain, inner, outer, ...referrers]
  const blobs = new Map(
    images.flatMap(family).flatMap((each) => each.blobs.map((blob) => [blob.digest, blob])),
  )
  return { blobs: [...blobs.values()], images }
}

function wide(text: string): Blob {
  return blobOf(Buffer.from(`${text} ${Math.random()}`), 'sha512')
}

/** Numbers from 0 to 1, the same for the same seed (mulberry32). */
export function createRandom(seed: number) {
  let state = seed
  const next = (): number => {
    state = (state + 0x6d2b79f5) | 0
    let mixed = Math.imul(state ^ (state >>> 15), 1 | state)
    mixed = (mixed + Math.imul(mixed ^ (mixed >>> 7), 61 | mixed)) ^ mixed
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32
  }
  return {
    next,
    pick: <Thing>(things: readonly Thing[]): Thing => {
      const thing = things[Math.floor(next() * things.length)]
      if (thing === undefined) throw new Error('nothing to pick from')
      return thing
    },
  }
}

export type Random = ReturnType<typeof createRandom>
