import type { Digest } from '../oci/digest.ts'
import { isThrottled, RegistryError } from '../oci/errors.ts'
import type { RepositoryName } from '../oci/reference.ts'
import type { RemoteBlob } from '../remote/remote.ts'
import type { OpenBlob } from './download.ts'
import type { OpenRange } from './far-ranges.ts'
import type { BlobRequest } from './repository.ts'

/** A blob of a proxied repository: the prefix of its upstream, and the name below it. */
type ProxiedBlob = {
  readonly prefix: string
  readonly name: RepositoryName
  readonly digest: Digest
}

/**
 * A place, other than the upstream, that may have the bytes of a blob. Its bytes are verified as those of
 * the upstream, and are no permission: the upstream is asked whether the repository has the blob.
 */
export interface BlobOrigin {
  /** In metrics and logs, such as `replica`. */
  readonly name: string
  /**
   * The bytes from a position on; undefined when it does not have the blob. When it rejects, or its body with
   * UNAVAILABLE, the next origin is asked, unless the upstream throttles. It limits its own waits.
   */
  open(blob: ProxiedBlob, from: number, signal: AbortSignal): Promise<RemoteBlob | undefined>
  /** Both ends included, while it sends the blob. When it does not send them, the upstream is asked. */
  openRange?(
    blob: ProxiedBlob,
    range: { readonly first: number; readonly last: number },
    signal: AbortSignal,
  ): Promise<RemoteBlob | undefined>
  /** The upstream sent the blob, or the end of it, which is now verified and on the disk. */
  fetched?(digest: Digest, size: number): void
  /** The bytes that it sent, or some of them, were wrong. */
  sentWrong?(digest: Digest): void
}

/** The name of the origin that is another replica of this registry. */
export const replicaOrigin = 'replica'

/** The answer to another replica (RFC 9110, section 15.5.20), which asks the next one then. */
export function misdirected(digest: Digest): RegistryError {
  return new RegistryError('UNAVAILABLE', {
    message: `this replica cannot get ${digest} for others now`,
    status: 421,
  })
}

/** A URL of a blob for clients, which needs no credential; undefined: there is none. */
export type FindUrl = (digest: Digest) => Promise<string | undefined>

/** The origins of a blob that are asked before its upstream, in their order. */
export type FindOrigins = (blob: ProxiedBlob, how: OriginsRequest) => readonly BlobOrigin[]

export type OriginsRequest = Pick<BlobRequest, 'isForwarded'> & {
  /** The blob cannot be stored here. */
  readonly isUnstored: boolean
}

type OriginsOptions = {
  readonly blob: ProxiedBlob
  readonly origins: readonly BlobOrigin[]
  readonly upstream: OpenBlob
  readonly upstreamRange: OpenRange
  /** Whether the upstream says that the repository has the blob; it is asked before bytes of an origin are used. */
  readonly isPermitted: () => Promise<boolean>
  readonly onFailure: (origin: BlobOrigin, error: unknown) => void
}

/** One download's way through the origins. */
export type OpenedOrigins = {
  readonly open: OpenBlob
  readonly openRange: OpenRange
  /** The origin that was asked last, or is asked first: its name, or `upstream`. */
  readonly source: () => string
  /** Resolves when the upstream is asked. */
  readonly atUpstream: Promise<void>
  /** Tells the origins that the blob is verified and stored. */
  readonly stored: (size: number) => void
  /** Tells the origins that the bytes were wrong. False: all of them came from the upstream. */
  readonly wrong: () => boolean
}

/**
 * Asks one origin after another, each once, and then the upstream. When the connection of an origin breaks,
 * the next one continues at the byte reached.
 */
export function openOrigins(options: OriginsOptions): OpenedOrigins {
  const { blob, origins, upstream, upstreamRange, isPermitted, onFailure } = options
  const left = [...origins]
  const used: BlobOrigin[] = []
  let source = left[0]?.name ?? 'upstream'
  const { promise: atUpstream, resolve: reachUpstream } = Promise.withResolvers<void>()

  const permitted = async (found: RemoteBlob): Promise<RemoteBlob | undefined> => {
    let isAllowed = false
    try {
      isAllowed = await isPermitted()
    } finally {
      if (!isAllowed) found.drop()
    }
    return isAllowed ? found : undefined
  }

  const open: OpenBlob = async (from, options) => {
    for (let origin = left.shift(); origin !== undefined; origin = left.shift()) {
      const asked = origin
      source = asked.name
      const found = await asked.open(blob, from, options.signal).catch((error: unknown) => {
        options.signal.throwIfAborted()
        if (isThrottled(error)) throw error
        onFailure(asked, error)
        return undefined
      })
      if (found === undefined) continue
      used.push(asked)
      return permitted(found)
    }
    source = 'upstream'
    reachUpstream()
    return upstream(from, options)
  }

  return {
    open,
    openRange: async (first, last, signal) => {
      const current = source === 'upstream' ? undefined : used.at(-1)
      const found = await current?.openRange?.(blob, { first, last }, signal).catch(() => undefined)
      return found ?? upstreamRange(first, last, signal)
    },
    source: () => source,
    atUpstream,
    stored: (size) => {
      if (source === 'upstream') for (const { fetched } of origins) fetched?.(blob.digest, size)
    },
    wrong: () => {
      for (const { sentWrong } of used) sentWrong?.(blob.digest)
      return used.length > 0
    },
  }
}
