import assert from 'node:assert/strict'
import { digestOf } from '../../src/oci/digest.ts'
import type { HostedStore } from '../../src/store/store.ts'
import { all } from './hosted-store.ts'

/**
 * What must hold for everything that is visible in a store, acknowledged or not. Sessions that were
 * left over are cancelled.
 */
export async function checkVisible({ blobs, links, uploads }: HostedStore): Promise<void> {
  for await (const { digest, size } of blobs.list()) {
    const bytes = await blobs.read(digest, size)
    assert.ok(bytes && digestOf(bytes) === digest, `${digest} is right`)
  }
  for await (const name of links.names())
    for (const tag of (await links.tags(name)) ?? []) {
      const link = await links.tag(name, tag)
      assert.ok(link && (await links.hasManifest(name, link.digest)), `${name}:${tag} is whole`)
      assert.equal((await links.tagHistory(name, tag))[0]?.digest, link.digest)
    }
  for await (const { name, id } of uploads.list()) await (await uploads.open(name, id))?.cancel()
  assert.deepEqual(await all(uploads.list()), [])
}
