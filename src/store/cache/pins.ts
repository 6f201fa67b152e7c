import { open, readFile, rename, rm } from 'node:fs/promises'
import { type Digest, isDigest } from '../../oci/digest.ts'
import { RegistryError } from '../../oci/errors.ts'
import { isRepositoryName, type RepositoryName } from '../../oci/reference.ts'
import { errnoOf } from '../files.ts'
import { pinsPath } from '../paths.ts'
import type { Pin, Pins } from '../pins.ts'
import type { Temporary } from '../temporary.ts'

/** The share of the cache that may be pinned: the rest is for all other images. */
const maxShare = 1 / 2
const maxPins = 1000
/** Manifests, configs and layers of one image. */
const maxParts = 2000

type PinsOptions = {
  readonly root: string
  readonly temporary: Temporary
  /** Bytes of the whole cache. */
  readonly maxSize: number
  readonly onWritten: () => void
}

/**
 * The pins of a cache, in one file that is replaced as a whole: a line `pin NAME DIGEST TIME`, followed by a
 * line `DIGEST SIZE` for each part. All of them are known before anything is evicted.
 */
export async function openPins({
  root,
  temporary,
  maxSize,
  onWritten,
}: PinsOptions): Promise<Pins> {
  const path = pinsPath(root)
  const limit = Math.floor(maxSize * maxShare)
  let pins = await readPins(path)
  let held = sizesOf(pins)
  let lastChange: Promise<unknown> = Promise.resolve()

  const isOf = (name: RepositoryName, digest: Digest) => (pin: Pin) =>
    pin.name === name && pin.digest === digest

  const write = async (next: readonly Pin[]): Promise<void> => {
    const draft = await temporary.path()
    try {
      const file = await open(draft, 'wx', 0o644)
      try {
        await file.writeFile(next.map(linesOf).join(''))
        await file.sync()
      } finally {
        await file.close()
      }
      await rename(draft, path)
    } catch (cause) {
      throw new RegistryError('UNAVAILABLE', {
        message: `cannot write the list of pinned images to ${root} (${errnoOf(cause)})`,
        cause,
      })
    } finally {
      await rm(draft, { force: true })
    }
    pins = next
    held = sizesOf(next)
    onWritten()
  }

  /** One after another: each change starts with what the last one wrote. */
  const inTurn = <Result>(change: () => Promise<Result>): Promise<Result> => {
    const done = lastChange.then(change)
    lastChange = done.catch(() => {})
    return done
  }

  return {
    limit,
    list: () => pins,
    find: (name, digest) => pins.find(isOf(name, digest)),
    holds: (digest) => held.has(digest),
    bytes: () => sumOf(held),
    add: (pin) =>
      inTurn(async () => {
        const others = pins.filter((other) => !isOf(pin.name, pin.digest)(other))
        assertRoom(pin, others, limit)
        await write([...others, pin])
      }),
    remove: (name, digest) =>
      inTurn(async () => {
        const others = pins.filter((other) => !isOf(name, digest)(other))
        if (others.length === pins.length) return false
        await write(others)
        return true
      }),
  }
}

function assertRoom(pin: Pin, others: readonly Pin[], limit: number): void {
  if (pin.parts.size > maxParts)
    throw refusal(pin, `it has ${pin.parts.size} parts, and ${maxParts} are allowed`)
  if (others.length >= maxPins) throw refusal(pin, `${maxPins} images are pinned already`)
  const before = sumOf(sizesOf(others))
  const after = sumOf(sizesOf([...others, pin]))
  if (after > limit)
    throw refusal(
      pin,
      `it needs ${after - before} bytes, ${before} are pinned, and ${limit} may be, which is half of the cache`,
      'unpin another image, or raise storage.cache.maxSize',
    )
}

function refusal({ name, digest }: Pin, reason: string, advice?: string): RegistryError {
  return new RegistryError('UNSUPPORTED', {
    status: 409,
    message: `cannot pin ${name}@${digest}: ${reason}`,
    advice,
  })
}

/** Each part once. */
function sizesOf(pins: readonly Pin[]): ReadonlyMap<Digest, number> {
  return new Map(pins.flatMap(({ parts }) => [...parts]))
}

function sumOf(sizes: ReadonlyMap<Digest, number>): number {
  return [...sizes.values()].reduce((sum, size) => sum + size, 0)
}

function linesOf({ name, digest, at, parts }: Pin): string {
  const lines = [...parts].map(([part, size]) => `${part} ${size}\n`)
  return [`pin ${name} ${digest} ${at}\n`, ...lines].join('')
}

/** An invalid line is ignored: the file is only Berth's. */
async function readPins(path: string): Promise<readonly Pin[]> {
  const text = await readFile(path, 'utf8').catch(() => '')
  const pins: (Pin & { readonly parts: Map<Digest, number> })[] = []
  for (const line of text.split('\n')) {
    const [first = '', second = '', third = '', fourth] = line.split(' ')
    if (first === 'pin' && isRepositoryName(second) && isDigest(third))
      pins.push({ name: second, digest: third, at: Number(fourth), parts: new Map() })
    else if (isDigest(first) && /^\d+$/.test(second)) pins.at(-1)?.parts.set(first, Number(second))
  }
  return pins
}
