import { createHash } from 'node:crypto'
import { readFileSync } from 'node:fs'
import fastify from 'fastify'

// What a reply costs at least: fastify with its defaults, one route, the headers and bytes of Berth's reply. No login,
// no log.
const [file = '', port = ''] = process.argv.slice(2)
const bytes = readFileSync(file)
const digest = `sha256:${createHash('sha256').update(bytes).digest('hex')}`
const app = fastify()
app.get('/v2/*', (_request, reply) =>
  reply
    .headers({
      'docker-distribution-api-version': 'registry/2.0',
      'x-content-type-options': 'nosniff',
      'x-cache': 'hit',
      'docker-content-digest': digest,
      etag: `"${digest}"`,
      'content-type': 'application/vnd.oci.image.manifest.v1+json',
    })
    .send(bytes),
)
await app.listen({ host: '127.0.0.1', port: Number(port) })
