import type { Digest } from '../../oci/digest.ts'
import { RegistryError } from '../../oci/errors.ts'
import type { Answer } from '../transport.ts'

/**
 * The URL to which an upload's bytes are sent. Artifact Registry's location is outside `/v2/`. The
 * danger: the credential is sent there, so it must be the upstream's own origin.
 */
export function locationOf(
  answer: Answer,
  { origin, path }: { origin: string; path: string },
): URL {
  const location = answer.header('location')
  const url = location === undefined ? null : URL.parse(location, `${origin}${path}`)
  if (url?.origin === origin) return url
  const where = url === null ? 'without a valid Location' : `at ${url.origin}`
  throw new RegistryError('UNAVAILABLE', {
    message: `${origin} opened an upload session ${where}, which is not its own origin`,
    advice:
      'if a proxy is in front of the registry, it must set X-Forwarded-Proto and Host, or the registry needs its external URL in its configuration',
    status: 502,
  })
}

/**
 * The location with the digest. The rest of the query stays as it is: it may be signed.
 */
export function completedBy(location: URL, digest: Digest): URL {
  const url = new URL(location)
  url.hash = ''
  const rest = url.search.replace(/^\?/, '')
  url.search = [rest, `digest=${encodeURIComponent(digest)}`].filter(Boolean).join('&')
  return url
}
