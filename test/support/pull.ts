import assert from 'node:assert/strict'
import { get, type Reply } from './client.ts'
import type { Blob, Image } from './images.ts'

type Registry = { readonly url: string }

export function getBlob({ url }: Registry, name: string, { digest }: Blob): Promise<Reply> {
  return get(`${url}/v2/${name}/blobs/${digest}`)
}

/** Pulls a blob that must come whole; how the cache answered. */
export async function pullBlob(from: Registry, name: string, blob: Blob): Promise<string> {
  const reply = await getBlob(from, name, blob)
  assert.equal(reply.status, 200, reply.body.toString('utf8', 0, 300))
  assert.ok(reply.complete, 'the answer was cut short')
  assert.ok(reply.body.equals(blob.bytes))
  return String(reply.headers['x-cache'])
}

/** Pulls as a runtime does: the tag, the manifest, all its blobs. */
export async function pullImage(
  from: Registry,
  name: string,
  image: Image,
  reference: string = image.digest,
): Promise<void> {
  const manifest = await get(`${from.url}/v2/${name}/manifests/${reference}`)
  assert.equal(manifest.status, 200, manifest.body.toString('utf8', 0, 300))
  assert.deepEqual(manifest.body, image.bytes)
  for (const child of image.children) await pullImage(from, name, child)
  for (const blob of image.blobs) await pullBlob(from, name, blob)
}
