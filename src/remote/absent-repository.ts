import { isRegistryError } from '../oci/errors.ts'
import type { Exchange } from './exchange.ts'
import { isFromRegistry } from './registry-answer.ts'

/** Of content that clients look for before they push it. */
const kinds: ReadonlySet<string> = new Set(['manifest', 'stat', 'blob'])

/**
 * The same exchange, for an upstream that may be pushed to. Docker Hub and others deny reading a
 * repository that does not exist yet, and containerd ends a push when its first HEAD is denied. So a
 * denied request is sent again as HEAD with a token that can push: its 404 is the answer.
 */
export function findAbsentRepositories(exchange: Exchange): Exchange {
  return {
    request: async (request) => {
      try {
        return await exchange.request(request)
      } catch (error) {
        const { access = 'pull', kind } = request
        if (!isRegistryError(error, 'DENIED') || access !== 'pull' || !kinds.has(kind)) throw error
        const { path, repository, headers = {} } = request
        const asked = { method: 'HEAD', kind: 'stat', path, repository, headers } as const
        const answer = await exchange.request({ ...asked, access: 'push' }).catch(() => undefined)
        answer?.drop()
        if (answer?.status === 404 && isFromRegistry(answer, Buffer.alloc(0))) return answer
        throw error
      }
    },
  }
}
