import { createHmac, randomBytes, timingSafeEqual } from 'node:crypto'
import { RegistryError } from '../oci/errors.ts'

/** Upload sessions, as a client of the surrogate and as the registry names them. */
export interface Locations {
  /** The path at which the client continues. */
  forClient(location: string, repository: string): string
  /**
   * The URL at the registry for a session that has a name of ours; undefined: the client's path is the registry's.
   * @throws RegistryError BLOB_UPLOAD_UNKNOWN for a name that another process made.
   */
  atRegistry(session: string, query: string): URL | undefined
}

const mark = 'berth.'

/**
 * Keeps upload sessions on the surrogate. A registry may say by a path where a session continues, by a URL of its own, or by
 * one that clients elsewhere use: below `/v2/` all of them are the same path. A path elsewhere, as Artifact Registry has
 * it, becomes the name of a session, which contains it.
 *
 * The danger: a client could make up such a name, and the surrogate would send its credential to any path of the registry.
 * So names are signed, with a key of this process.
 */
export function createLocations(registry: URL): Locations {
  const { origin } = registry
  const key = randomBytes(32)
  const sign = (text: string) => createHmac('sha256', key).update(text).digest('base64url')

  return {
    forClient: (location, repository) => {
      const url = URL.parse(location, `${origin}/v2/${repository}/blobs/uploads/`)
      const isHttp = url?.protocol === 'http:' || url?.protocol === 'https:'
      if (url !== null && isHttp && url.pathname.startsWith('/v2/'))
        return url.pathname + url.search
      if (url?.origin !== origin) throw foreign(origin, url)
      const text = Buffer.from(url.pathname + url.search).toString('base64url')
      return `/v2/${repository}/blobs/uploads/${mark}${text}.${sign(text)}`
    },

    atRegistry: (session, query) => {
      if (!session.startsWith(mark)) return undefined
      const [text = '', signature = ''] = session.slice(mark.length).split('.')
      if (!isEqual(signature, sign(text)))
        throw new RegistryError('BLOB_UPLOAD_UNKNOWN', {
          message: 'the upload session belongs to a surrogate that has ended; begin it again',
        })
      const path = Buffer.from(text, 'base64url').toString()
      const url = new URL(`${origin}${path}`)
      url.search = [url.search.slice(1), query].filter(Boolean).join('&')
      return url
    },
  }
}

function isEqual(given: string, wanted: string): boolean {
  const [one, other] = [Buffer.from(given), Buffer.from(wanted)]
  return one.length === other.length && timingSafeEqual(one, other)
}

function foreign(origin: string, url: URL | null): RegistryError {
  const where = url === null ? 'without a valid Location' : `at ${url.origin}`
  return new RegistryError('UNAVAILABLE', {
    message: `${origin} opened an upload session ${where}, which is not its own origin`,
    advice:
      'if a proxy is in front of the registry, it must set X-Forwarded-Proto and Host, or the registry needs its external URL in its configuration',
    status: 502,
  })
}
