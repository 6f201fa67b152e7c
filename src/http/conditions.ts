import type { FastifyRequest } from 'fastify'

/**
 * Whether If-None-Match matches `etag` (RFC 9110, section 13.1.2): as a member of a list, as a weak tag
 * (proxies weaken them), or as `*`.
 */
export function hasAlready({ headers }: FastifyRequest, etag: string): boolean {
  const condition = headers['if-none-match']
  if (condition === undefined || condition === etag) return condition !== undefined
  const tags = condition.split(',').map((tag) => tag.trim().replace(/^W\//, ''))
  return tags.includes(etag) || tags.includes('*')
}
