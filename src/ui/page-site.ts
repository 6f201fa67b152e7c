import type { FastifyReply, FastifyRequest } from 'fastify'
import { hasAlready, type Site } from '../http/http.ts'
import { RegistryError } from '../oci/errors.ts'
import type { Encoding, PageFile } from './page-file.ts'

/**
 * Everything comes from this origin, and nothing is inline. `trusted-types 'none'` forbids policies, so no
 * text can become a script.
 */
const contentSecurityPolicy = [
  "default-src 'none'",
  "script-src 'self'",
  "style-src 'self'",
  "connect-src 'self'",
  "img-src 'self'",
  "require-trusted-types-for 'script'",
  "trusted-types 'none'",
  "frame-ancestors 'none'",
  "base-uri 'none'",
  "form-action 'none'",
].join('; ')

const headers = {
  'content-security-policy': contentSecurityPolicy,
  'cross-origin-opener-policy': 'same-origin',
  'cross-origin-resource-policy': 'same-origin',
  'referrer-policy': 'no-referrer',
  vary: 'accept-encoding',
} as const

const root = '/ui/'

/**
 * Serves files by their paths below `/ui/`, to everyone: they contain no data. Addresses in redirects and in
 * the page are relative, because a proxy may publish Berth below another path.
 */
export function createPageSite(files: ReadonlyMap<string, PageFile>): Site {
  return {
    has: (path) => path === '/' || path === '/ui' || path.startsWith(root),
    answer: async ({ request, reply, path, record }) => {
      record.route = root
      if (request.method !== 'GET' && request.method !== 'HEAD') {
        reply.header('allow', 'GET, HEAD')
        throw new RegistryError('UNSUPPORTED', {
          message: `method ${request.method} is not supported for ${root}`,
        })
      }
      if (!path.startsWith(root)) return reply.code(307).header('location', 'ui/').send()
      const file = files.get(path.slice(root.length))
      if (file === undefined)
        throw new RegistryError('UNSUPPORTED', {
          status: 404,
          message: 'the page has no such file; reload the page',
        })
      record.bytes = await send(file, request, reply)
      return reply
    },
  }
}

/** Resolves with the number of bytes. */
async function send(file: PageFile, request: FastifyRequest, reply: FastifyReply): Promise<number> {
  const encoding = acceptedEncoding(request.headers['accept-encoding'])
  const etag = file.etag(encoding)
  reply.headers({
    ...headers,
    etag,
    'cache-control': file.isImmutable ? 'public, max-age=31536000, immutable' : 'no-cache',
  })
  if (hasAlready(request, etag)) {
    reply.code(304).send()
    return 0
  }
  const bytes = await file.read(encoding)
  reply.headers({ 'content-type': file.mediaType, 'content-length': bytes.length })
  if (encoding !== 'identity') reply.header('content-encoding', encoding)
  reply.send(bytes)
  return request.method === 'HEAD' ? 0 : bytes.length
}

/** The best that the client accepts (RFC 9110, section 12.5.3); weights other than 0 make no difference. */
function acceptedEncoding(header = ''): Encoding {
  const accepted = header
    .toLowerCase()
    .split(',')
    .map((part) => part.replaceAll(' ', '').split(';'))
    .filter(([, weight]) => !/^q=0(\.0*)?$/.test(weight ?? ''))
    .map(([name]) => name)
  if (accepted.includes('br')) return 'br'
  return accepted.includes('gzip') ? 'gzip' : 'identity'
}
