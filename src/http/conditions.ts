import type { FastifyRequest } from 'fastify'

/**
 * Whether the client has already what `etag` stands for (RFC 9110, "If-None-Match"): one of a list,
 * a proxy may have made it weak, or whatever there is.
 */
export function hasAlready({ headers }: FastifyRequest, etag: string): boolean {
  const condition = headers['if-none-match']
  if (condition === undefined || condition === etag) return condition !== undefined
  const tags = condition.split(',').map((tag) => tag.trim().replace(/^W\//, ''))
  return tags.includes(etag) || tags.includes('*')
}
