import type { FastifyRequest } from 'fastify'
import type { Digest } from '../oci/digest.ts'
import { RegistryError } from '../oci/errors.ts'
import type { Precondition } from '../registry/registry.ts'

export function etagOf(digest: string): string {
  return `"${digest}"`
}

/**
 * Whether If-None-Match matches `etag` (RFC 9110, section 13.1.2): as a member of a list, as a weak tag
 * (proxies weaken them), or as `*`.
 */
export function hasAlready({ headers }: FastifyRequest, etag: string): boolean {
  const condition = headers['if-none-match']
  if (condition === undefined || condition === etag) return condition !== undefined
  return namesWeakly(condition, etag)
}

/**
 * The client wants this version, or none (RFC 9110, section 13.1.1).
 * @throws RegistryError DENIED, status 412: it is another one.
 */
export function assertMatch({ headers }: FastifyRequest, etag: string): void {
  const condition = headers['if-match']
  if (condition === undefined || names(condition, etag)) return
  throw new RegistryError('DENIED', {
    status: 412,
    message: `the content is ${etag}, which If-Match does not name`,
  })
}

/** Of a request that changes something. Undefined: it has no condition. */
export function preconditionOf({ headers }: FastifyRequest): Precondition | undefined {
  const { 'if-match': wanted, 'if-none-match': unwanted } = headers
  if (wanted === undefined && unwanted === undefined) return undefined
  return (current) => {
    if (current === undefined) return wanted === undefined
    const etag = etagOf(current)
    const isWanted = wanted === undefined || names(wanted, etag)
    return isWanted && (unwanted === undefined || !namesWeakly(unwanted, etag))
  }
}

/**
 * For a DELETE by digest, which names the only version that there can be.
 * @throws RegistryError DENIED, status 412: it exists, and a condition of the request excludes it.
 */
export async function assertNotExcluded(
  request: FastifyRequest,
  digest: Digest,
  find: () => unknown,
): Promise<void> {
  const isExcluded = preconditionOf(request)?.(digest) === false
  if (isExcluded && (await find()) !== undefined)
    throw new RegistryError('DENIED', {
      status: 412,
      message: `nothing was changed, because a condition of the request excludes ${digest}`,
    })
}

/** A weak tag is equal to none (RFC 9110, section 8.8.3.2). */
function names(condition: string, etag: string): boolean {
  const tags = tagsIn(condition)
  return tags.includes(etag) || tags.includes('*')
}

function namesWeakly(condition: string, etag: string): boolean {
  const tags = tagsIn(condition).map((tag) => tag.replace(/^W\//, ''))
  return tags.includes(etag) || tags.includes('*')
}

function tagsIn(condition: string): readonly string[] {
  return condition.split(',').map((tag) => tag.trim())
}
