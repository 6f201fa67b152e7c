import assert from 'node:assert/strict'
import { digestOf, parseDigest } from '../../src/oci/digest.ts'
import { mediaTypes } from '../../src/oci/manifest.ts'
import type { Login } from './docker-registry.ts'
import type { Image } from './images.ts'

type Place = { readonly host: string; readonly name: string; readonly login: Login }

type Descriptor = { readonly digest: string; readonly size: number }

/** Everything that a registry has of a manifest, each byte compared with its digest. */
export async function servedImage(place: Place, reference: string): Promise<Image> {
  const { bytes, mediaType } = await fetchFrom(place, `manifests/${reference}`)
  const digest = digestOf(bytes)
  if (reference.includes(':')) assert.equal(digest, reference)
  const {
    config,
    layers = [],
    manifests = [],
  } = JSON.parse(bytes.toString()) as {
    readonly config?: Descriptor
    readonly layers?: readonly Descriptor[]
    readonly manifests?: readonly Descriptor[]
  }
  const blobs = [...(config === undefined ? [] : [config]), ...layers].map(async (descriptor) => {
    const blob = await fetchFrom(place, `blobs/${descriptor.digest}`)
    assert.equal(digestOf(blob.bytes), descriptor.digest)
    assert.equal(blob.bytes.length, descriptor.size)
    return { digest: parseDigest(descriptor.digest), bytes: blob.bytes }
  })
  const children = manifests.map((descriptor) => servedImage(place, descriptor.digest))
  return {
    digest,
    mediaType,
    bytes,
    blobs: await Promise.all(blobs),
    children: await Promise.all(children),
  }
}

async function fetchFrom({ host, name, login }: Place, path: string) {
  const basic = Buffer.from(`${login.user}:${login.password}`).toString('base64')
  const headers = { authorization: `Basic ${basic}`, accept: Object.values(mediaTypes).join(', ') }
  const response = await fetch(`http://${host}/v2/${name}/${path}`, { headers })
  assert.equal(response.status, 200, path)
  const bytes = Buffer.from(await response.arrayBuffer())
  return { bytes, mediaType: response.headers.get('content-type') ?? '' }
}
