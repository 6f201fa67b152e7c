import type { Reservations } from '../memory/memory.ts'
import { algorithmOf, type Digest, digestOf, isDigest } from '../oci/digest.ts'
import { RegistryError } from '../oci/errors.ts'
import { maxManifestSize } from '../oci/manifest.ts'
import { formatReference, type Reference } from '../oci/reference.ts'
import { UnconfirmedAnswer } from './faults.ts'
import { readReservedBody } from './read-body.ts'
import { codesIn, isFromRegistry, isPage } from './registry-answer.ts'
import type { RemoteBlob, RemoteManifest } from './remote-registry.ts'
import type { RequestContext } from './request-context.ts'
import { readReason, reasonIn } from './response-error.ts'
import { type Answer, lengthIn } from './transport.ts'

/** The origin and subject of a request, and where an answer is reported that is no registry's. */
type Asked = Pick<RequestContext, 'origin' | 'lastDenial' | 'scrub'> & {
  readonly repository: string
}

/**
 * False for a true miss: a 404 that the registry itself wrote. Any answer that is neither a success
 * nor a true miss is dropped, and an error is thrown.
 */
export async function isFound(answer: Answer, requested: Asked): Promise<boolean> {
  const { origin, scrub } = requested
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
    throw reported(new UnconfirmedAnswer(origin, status), requested)
  }
  const reason = scrub(reasonIn(await readReason(answer)))
  const message = `${origin} answered ${status}${reason && `: ${reason}`}`
  throw reported(new RegistryError('UNAVAILABLE', { message, status: 502 }), requested)
}

/** `/readyz` shows it until the upstream allows the repository. */
function reported(
  error: RegistryError,
  { repository, lastDenial }: Pick<Asked, 'repository' | 'lastDenial'>,
): RegistryError {
  lastDenial.denied(repository, error.message)
  return error
}

/**
 * @throws RegistryError when an answer is not from a registry, or was changed on its way: a page with status 200, and a
 * compressed body, since none is accepted.
 */
export function assertDocument(
  answer: Pick<Answer, 'header' | 'status'>,
  body: Buffer,
  requested: Pick<Asked, 'origin' | 'repository' | 'lastDenial'>,
): void {
  const { origin } = requested
  if (isPage(body)) throw reported(new UnconfirmedAnswer(origin, answer.status), requested)
  const encoding = encodingOf(answer)
  if (encoding === undefined || body[0] === openingBrace) return
  const message = `${origin} answered with Content-Encoding: ${encoding}, which Berth does not accept`
  const advice = 'a proxy in front of it compresses: turn that off for the registry'
  throw reported(new RegistryError('UNAVAILABLE', { message, advice, status: 502 }), requested)
}

const openingBrace = 0x7b

type ManifestSource = {
  readonly origin: string
  readonly memory: Reservations
  /** Throws for bytes that are no manifest. */
  readonly check?: (body: Buffer) => void
}

/**
 * Computes the digest. An upstream that announces a different digest, or returns other content than
 * requested, is broken.
 */
export async function verifiedManifest(
  answer: Answer,
  reference: Reference,
  { origin, memory, check }: ManifestSource,
): Promise<RemoteManifest> {
  const announced = answer.header('docker-content-digest')
  const contentType = answer.header('content-type')
  const { bytes, release } = await readReservedBody(answer, maxManifestSize, { memory })
  try {
    check?.(bytes)
  } catch (error) {
    release()
    throw error
  }
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

/** Accepts a part of a blob only if it is exactly the requested range; the range may be the whole blob. */
export function remoteBlob(answer: Answer, requested: number, origin: string): RemoteBlob {
  const { body, drop } = answer
  const sent = oddityOf(answer)
  if (answer.status === 200) return { size: lengthOf(answer), from: 0, body, drop, sent }
  const [, first, last, total] =
    /^bytes (\d+)-(\d+)\/(\d+)$/.exec(answer.header('content-range') ?? '') ?? []
  if (Number(first) !== requested || Number(last) !== Number(total) - 1) {
    drop()
    throw new RegistryError('UNAVAILABLE', {
      message: `${origin} sent another range than requested`,
      status: 502,
    })
  }
  return { size: Number(total), from: requested, body, drop, sent }
}

/** A proxy's: a registry stores bytes as they are, and sends them as octets. */
function oddityOf(answer: Answer): string | undefined {
  const encoding = encodingOf(answer)
  if (encoding !== undefined) return `with Content-Encoding: ${encoding}`
  return answer.header('content-type')?.startsWith('text/html') ? 'as text/html' : undefined
}

function encodingOf({ header }: Pick<Answer, 'header'>): string | undefined {
  const encoding = header('content-encoding')
    ?.replace(/[^\w, -]/g, '')
    .slice(0, 40)
  return encoding && encoding !== 'identity' ? encoding : undefined
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
