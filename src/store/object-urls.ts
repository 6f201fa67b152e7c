import type { Telemetry } from '../telemetry/telemetry.ts'
import type { Bucket } from './object-store.ts'

/** How long a URL is valid, in seconds: a download may begin until then. */
const life = 15 * 60

/**
 * URLs of objects, for clients. Undefined: none can be signed, for lack of a role, which is no failure of
 * the bucket. Never rejects.
 */
export function createObjectUrls(
  bucket: Pick<Bucket, 'name' | 'sign'>,
  { log }: Pick<Telemetry, 'log'>,
): (key: string) => Promise<string | undefined> {
  let problem: string | undefined
  return async (key) => {
    try {
      const url = await bucket.sign(key, life)
      problem = undefined
      return url
    } catch (err) {
      const why = err instanceof Error ? err.message : ''
      if (why !== problem) log.warn({ bucket: bucket.name, err }, 'cannot redirect to the bucket')
      problem = why
      return undefined
    }
  }
}
