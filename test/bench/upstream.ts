import { createReadStream, readFileSync, statSync } from 'node:fs'
import { createServer, type ServerResponse } from 'node:http'
import { setTimeout as sleep } from 'node:timers/promises'
import { mediaTypes } from '../../src/oci/manifest.ts'
import { blobFile, type Content } from './content.ts'

/** A registry with a delay, in milliseconds, and a total rate, in bytes per second, if it is limited. */
export type Line = { readonly content: Content; readonly rate?: number; readonly delay: number }

const block = 64 * 1024

/** Shares the bandwidth among all receivers, in order of their requests. */
function createLine(rate: number) {
  let freeAt = performance.now()
  return async (bytes: number): Promise<void> => {
    const now = performance.now()
    freeAt = Math.max(freeAt, now) + (bytes / rate) * 1000
    // Timers are coarse: the next wait compensates for what was sent too early.
    if (freeAt - now > 2) await sleep(freeAt - now)
  }
}

function serve({ content, rate, delay }: Line): void {
  const pass = rate === undefined ? undefined : createLine(rate)
  const counts = { manifests: 0, blobs: 0 }

  const sendBlob = async (response: ServerResponse, digest: string, onlyHead: boolean) => {
    const file = blobFile(content.root, digest)
    response.writeHead(200, {
      'content-type': 'application/octet-stream',
      'content-length': statSync(file).size,
      'docker-content-digest': digest,
    })
    if (onlyHead) return response.end()
    counts.blobs += 1
    for await (const chunk of createReadStream(file, { highWaterMark: block })) {
      await pass?.(chunk.length)
      if (!response.write(chunk)) await new Promise((resolve) => response.once('drain', resolve))
      if (response.destroyed) return undefined
    }
    return response.end()
  }

  const sendManifest = (response: ServerResponse, onlyHead: boolean) => {
    const bytes = readFileSync(blobFile(content.root, content.manifest))
    counts.manifests += 1
    response.writeHead(200, {
      'content-type': mediaTypes.ociManifest,
      'content-length': bytes.length,
      'docker-content-digest': content.manifest,
    })
    response.end(onlyHead ? undefined : bytes)
  }

  const server = createServer(async (request, response) => {
    const path = request.url ?? ''
    const onlyHead = request.method === 'HEAD'
    const digest = /\/blobs\/(sha256:[a-f0-9]{64})$/.exec(path)?.[1]
    if (path === '/counts') return response.end(JSON.stringify(counts))
    await sleep(delay)
    if (path === '/v2/') return response.end('{}')
    if (digest !== undefined)
      return sendBlob(response, digest, onlyHead).catch(() => response.destroy())
    if (path.includes('/manifests/')) return sendManifest(response, onlyHead)
    return response.writeHead(404).end()
  })
  server.listen(Number(process.argv[3]), '127.0.0.1')
}

if (import.meta.main) serve(JSON.parse(process.argv[2] ?? '') as Line)
