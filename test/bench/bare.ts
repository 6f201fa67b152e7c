import { readFileSync } from 'node:fs'
import fastify from 'fastify'

// What a reply costs at least: fastify with its defaults, one route, bytes in memory. No login, no log.
const [file = '', port = ''] = process.argv.slice(2)
const bytes = readFileSync(file)
const app = fastify()
app.get('/v2/*', (_request, reply) =>
  reply.header('content-type', 'application/vnd.oci.image.manifest.v1+json').send(bytes),
)
await app.listen({ host: '127.0.0.1', port: Number(port) })
