import type { Digest } from '../../oci/digest.ts'
import { RegistryError } from '../../oci/errors.ts'
import type { Telemetry } from '../../telemetry/telemetry.ts'
import { errnoOf } from '../files.ts'

/** Undefined also when the blob cannot be read. */
export type MissIfUnreadable = <Result>(
  digest: Digest,
  reading: Promise<Result | undefined>,
) => Promise<Result | undefined>

/**
 * A blob that cannot be read is a miss: it is fetched from the upstream, and the fill replaces its
 * file. One unreadable file does not mean that the disk fails, and running out of file descriptors
 * is not a read failure of the blob.
 */
export function createMissIfUnreadable({ log, metrics }: Telemetry): MissIfUnreadable {
  return async (digest, reading) => {
    try {
      return await reading
    } catch (error) {
      if (['EMFILE', 'ENFILE'].includes(errnoOf(error))) {
        throw new RegistryError('UNAVAILABLE', {
          message: 'too many open files; try again',
          retryAfter: 1,
          cause: error,
        })
      }
      metrics.cacheFailures.inc()
      log.error({ digest, err: error }, 'cannot read a cached blob; fetching it from its upstream')
      return undefined
    }
  }
}
