import { createHash, hash } from 'node:crypto'
import { RegistryError } from './errors.ts'

declare const brand: unique symbol

/**
 * `sha256:<64 hex>` or `sha512:<128 hex>` (image-spec, "Digests"). Made only by {@link parseDigest}
 * and {@link digestOf}.
 */
export type Digest = string & { readonly [brand]: 'Digest' }

const algorithms = ['sha256', 'sha512'] as const
export type Algorithm = (typeof algorithms)[number]

const grammar = /^(?:sha256:[a-f0-9]{64}|sha512:[a-f0-9]{128})$/

/** @throws RegistryError DIGEST_INVALID if the text is not a digest of a supported algorithm. */
export function parseDigest(text: string): Digest {
  if (!isDigest(text)) {
    throw new RegistryError('DIGEST_INVALID', {
      message:
        'invalid digest: expected sha256:<64 hex digits> or sha512:<128 hex digits>, in lower case',
    })
  }
  return text
}

export function isDigest(text: string): text is Digest {
  return grammar.test(text)
}

export function isAlgorithm(text: string): text is Algorithm {
  return algorithms.some((algorithm) => algorithm === text)
}

export function algorithmOf(digest: Digest): Algorithm {
  return digest.startsWith('sha512:') ? 'sha512' : 'sha256'
}

/** The part after the colon. */
export function encodedOf(digest: Digest): string {
  return digest.slice(digest.indexOf(':') + 1)
}

export function digestOf(bytes: Uint8Array, algorithm: Algorithm = 'sha256'): Digest {
  return parseDigest(`${algorithm}:${hash(algorithm, bytes, 'hex')}`)
}

/** Computes a digest incrementally. */
export interface Digester {
  /** Number of bytes so far. */
  readonly size: number
  update(bytes: Uint8Array): void
  /** An independent digester with the same state. */
  copy(): Digester
  /** Ends this digester. */
  digest(): Digest
}

export function createDigester(algorithm: Algorithm): Digester {
  return digesterOf(algorithm, createHash(algorithm), 0)
}

function digesterOf(
  algorithm: Algorithm,
  state: ReturnType<typeof createHash>,
  taken: number,
): Digester {
  let size = taken
  return {
    get size() {
      return size
    },
    update(bytes) {
      state.update(bytes)
      size += bytes.length
    },
    copy: () => digesterOf(algorithm, state.copy(), size),
    digest: () => parseDigest(`${algorithm}:${state.digest('hex')}`),
  }
}
