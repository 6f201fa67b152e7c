import type { Reservations } from '../memory/memory.ts'
import { algorithmOf, type Digest, digestOf, isDigest } from '../oci/digest.ts'
import { RegistryError } from '../oci/errors.ts'
import { maxManifestSize } from '../oci/manifest.ts'
import { formatReference, type Reference } from '../oci/reference.ts'
import { UnconfirmedAnswer } from './faults.ts'
import type { LastDenial } from './last-denial.ts'
import { readReservedBody } from './read-body.ts'
import { codesIn, isFromRegistry } from './registry-answer.ts'
import type { RemoteBlob, RemoteManifest } from './remote-registry.ts'
import { readReason } from './response-error.ts'
import { type Answer, lengthIn } from './transport.ts'

/**
 * The origin and subject of a request, and the callbacks for an answer that the registry did not
 * write.
 */
type Asked = {
  readonly origin: string
  readonly repository: string
  readonly lastDenial: LastDenial
}

/**
 * False for a true miss: a 404 that the registry itself wrote. Any answer that is neither a success
 * nor a true miss is dropped, and an error is thrown.
 */
export async function isFound(answer: Answer, requested: Asked): Promise<boolean> {
  const { origin, repository, lastDenial } = requested
  const { status } = answer
  if (status === 200 || status === 206) return true
  if (status === 400 || status === 404) {
    const body = await readReason(answer)
    if (isFromRegistry(answer, body) || (status === 400 && codesIn(body).length > 0)) {
      if (status === 404) return false
      throw new RegistryError('NAME_INVALID', {
        message: `${origin} rejected the name as invalid (400)`,
      })
    }
    const error = new UnconfirmedAnswer(origin, status)
    lastDenial.denied(repository, error.message)
    throw error
  }
  answer.drop()
  throw new RegistryError('UNAVAILABLE', { message: `${origin} answered ${status}`, status: 502 })
}

/**
 * Computes the digest. An upstream that announces a different digest, or returns other content than
 * requested, is broken.
 */
export async function verifiedManifest(
  answer: Answer,
  reference: Reference,
  { origin, memory }: { readonly origin: string; readonly memory: Reservations },
): Promise<RemoteManifest> {
  const announced = answer.header('docker-content-digest')
  const contentType = answer.header('content-type')
  const { bytes, release } = await readReservedBody(answer, maxManifestSize, { memory })
  const came = { bytes, release, ...(contentType !== undefined && { contentType }) }
  const wanted = 'digest' in reference ? reference.digest : announced
  if (wanted === undefined) return { digest: digestOf(bytes), ...came }
  const digest = isDigest(wanted) ? digestOf(bytes, algorithmOf(wanted)) : undefined
  if (digest !== undefined && digest === wanted) return { digest, ...came }
  release()
  throw wrongDigest(origin, formatReference(reference))
}

export function wrongDigest(origin: string, reference: string): RegistryError {
  return new RegistryError('DIGEST_INVALID', {
    message: `${origin} sent content with another digest for ${reference}`,
    status: 502,
  })
}

/** An upstream that announces another digest of the same algorithm has stored something else. */
export function assertSame(origin: string, answer: Answer, digest: Digest): void {
  const announced = answer.header('docker-content-digest') ?? ''
  if (!isDigest(announced) || algorithmOf(announced) !== algorithmOf(digest)) return
  if (announced !== digest) throw wrongDigest(origin, digest)
}

/** Accepts a part of a blob only if it is exactly the requested range. */
export function remoteBlob(answer: Answer, requested: number, origin: string): RemoteBlob {
  const { body, drop } = answer
  if (answer.status === 200) return { size: lengthOf(answer), from: 0, body, drop }
  const [, first, last, total] =
    /^bytes (\d+)-(\d+)\/(\d+)$/.exec(answer.header('content-range') ?? '') ?? []
  if (requested === 0 || Number(first) !== requested || Number(last) !== Number(total) - 1) {
    drop()
    throw new RegistryError('UNAVAILABLE', {
      message: `${origin} sent another range than requested`,
      status: 502,
    })
  }
  return { size: Number(total), from: requested, body, drop }
}

/** Undefined if the upstream did not send exactly the requested range. */
export function remoteRange(
  answer: Answer,
  { first, last }: { readonly first: number; readonly last: number },
): RemoteBlob | undefined {
  const { body, drop } = answer
  const range = /^bytes (\d+-\d+)\/(\d+)$/.exec(answer.header('content-range') ?? '')
  if (answer.status === 206 && range?.[1] === `${first}-${last}`)
    return { size: Number(range[2]), from: first, body, drop }
  drop()
  return undefined
}

/** Content-Length in bytes. */
export function lengthOf(answer: Answer): number | undefined {
  return lengthIn(answer.header('content-length'))
}
