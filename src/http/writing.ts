import type { FastifyRequest } from 'fastify'
import type { Identity } from '../auth/auth.ts'
import { RegistryError } from '../oci/errors.ts'
import type { WritableRepository, Writer } from '../registry/registry.ts'
import type { Endpoint, RepositoryCall } from './call.ts'
import { hasLoggedIn } from './guard.ts'

/** A call for a repository that can be written. */
export type WriteCall = RepositoryCall & {
  readonly writable: WritableRepository
  readonly writer: Writer
}

/** An endpoint of the write side of the API: 405 with the reason where a repository can only be read. */
export function writing(
  action: 'push' | 'delete',
  handle: (call: WriteCall) => Promise<unknown>,
): Endpoint {
  return {
    action,
    handle: (call) => {
      if (!call.isAllowedOrigin) refuseOtherOrigins(call.request)
      const { writable, identity } = call
      if (writable === undefined) throw cannotWrite(action, call)
      return handle({ ...call, writable, writer: writerOf(identity) })
    },
  }
}

/**
 * The danger: a web page of any origin may send a POST with a body, and the user's browser reaches
 * `localhost`. No registry client sends these headers (Fetch Metadata; RFC 6454).
 * @throws RegistryError DENIED
 */
export function refuseOtherOrigins({ headers }: FastifyRequest): void {
  const site = headers['sec-fetch-site']
  const { origin, host } = headers
  // A browser that says where the page is from knows it; a proxy may have changed `host`.
  const isForeign =
    site === undefined
      ? origin !== undefined && originHost(origin) !== host
      : site !== 'same-origin' && site !== 'none'
  if (!isForeign) return
  throw new RegistryError('DENIED', { message: 'web pages of other origins may only read' })
}

function originHost(origin: string): string | undefined {
  return URL.canParse(origin) ? new URL(origin).host : undefined
}

function writerOf(identity: Identity): Writer {
  return hasLoggedIn(identity) ? `user ${identity.name}` : identity.kind
}

function cannotWrite(action: 'push' | 'delete', call: RepositoryCall): RegistryError {
  const { name, readOnly = 'it can only be read', reply } = call
  reply.header('allow', 'GET, HEAD')
  const attempt = action === 'push' ? `push to ${name}` : `delete from ${name}`
  return new RegistryError('UNSUPPORTED', { message: `cannot ${attempt}: ${readOnly}` })
}
