import assert from 'node:assert/strict'
import { test } from 'node:test'
import fc from 'fast-check'
import { isRegistryError } from '../../src/oci/errors.ts'
import {
  childrenOf,
  mediaTypes,
  parseManifest,
  parseManifestDetails,
} from '../../src/oci/manifest.ts'
import { createUploadId, parseUploadId } from '../../src/oci/upload-id.ts'
import { blobOf, makeImage, makeIndex, randomBlob } from '../support/images.ts'

const parse = (document: unknown) => parseManifest(Buffer.from(JSON.stringify(document)))
const { digest } = randomBlob(10)
const descriptor = { mediaType: 'application/octet-stream', digest, size: 10 }

function refuses(bytes: Buffer | string): void {
  assert.throws(
    () => parseManifest(Buffer.from(bytes)),
    (error) => isRegistryError(error, 'MANIFEST_INVALID'),
    String(bytes).slice(0, 100),
  )
}

test('an image references its config and layers, an index its children', () => {
  const image = makeImage()
  const seen = parseManifest(image.bytes)
  assert.equal(seen.mediaType, mediaTypes.ociManifest)
  assert.equal(seen.isIndex, false)
  assert.deepEqual(
    seen.references.map((reference) => [reference.digest, reference.size]),
    image.blobs.map((blob) => [blob.digest, blob.bytes.length]),
  )
  const index = makeIndex([image, makeImage({ docker: true })])
  const list = parseManifest(index.bytes)
  assert.equal(list.isIndex, true)
  assert.deepEqual(
    list.references.map(({ mediaType }) => mediaType),
    [mediaTypes.ociManifest, mediaTypes.dockerManifest],
  )
  assert.equal(childrenOf(index.bytes).length, 2)
  assert.deepEqual(childrenOf(image.bytes), [])
})

test('the media type is the mediaType field, or else implied by other fields', () => {
  for (const mediaType of Object.values(mediaTypes))
    assert.equal(parse({ mediaType }).mediaType, mediaType)
  assert.equal(
    parse({ mediaType: 'application/x.new+json', odd: 1 }).mediaType,
    'application/x.new+json',
  )
  assert.equal(parse({ manifests: [] }).mediaType, mediaTypes.ociIndex)
  assert.equal(parse({ config: descriptor, layers: [] }).mediaType, mediaTypes.ociManifest)
  assert.equal(parse({ fsLayers: [] }).mediaType, mediaTypes.dockerSchema1)
  assert.equal(parse({ fsLayers: [], signatures: [] }).mediaType, mediaTypes.dockerSignedSchema1)
})

test('a document that is both image and index is rejected (GHSA-77vh-xpmg-72qh)', () => {
  for (const mediaType of [undefined, mediaTypes.ociIndex, mediaTypes.ociManifest]) {
    refuses(JSON.stringify({ mediaType, manifests: [descriptor], layers: [descriptor] }))
    refuses(JSON.stringify({ mediaType, manifests: [descriptor], config: descriptor }))
  }
})

test('a document that does not imply a media type is rejected', () => {
  for (const document of [{}, { layers: [] }, { config: {} }, { schemaVersion: 2 }])
    refuses(JSON.stringify(document))
})

test('HTML, other JSON and truncated JSON are rejected (U39)', () => {
  const invalid = ['', ' ', '<html></html>', 'null', '[]', '1', '"x"', '{', '{"mediaType":']
  for (const text of invalid) refuses(text)
  refuses(Buffer.from([0x1f, 0x8b, 0, 0]))
  for (const mediaType of [
    1,
    'text',
    'text/html; charset=utf-8',
    'a/b\r\nX-Injected: 1',
    'ä/b',
    'text/html',
    'image/svg+xml',
    'application/xhtml+xml',
    'application/javascript',
    'application/x.json+xml',
  ])
    refuses(JSON.stringify({ mediaType, manifests: [] }))
  for (const manifests of ['x', {}, 1]) refuses(JSON.stringify({ manifests }))
})

test('null is an empty list, as Go programs write it', () => {
  assert.equal(parse({ mediaType: mediaTypes.ociIndex, manifests: null }).references.length, 0)
  const image = parse({ mediaType: mediaTypes.ociManifest, config: descriptor, layers: null })
  assert.equal(image.references.length, 1)
  assert.equal(parse({ config: descriptor, layers: [], manifests: null }).isIndex, false)
  assert.deepEqual(childrenOf(Buffer.from('{"mediaType":"application/json","manifests":null}')), [])
})

test('foreign layers are not references (H125)', () => {
  const foreign = { ...descriptor, urls: ['https://example.org/layer'] }
  const seen = parse({ config: descriptor, layers: [foreign, { ...descriptor, urls: [] }] })
  assert.equal(seen.references.length, 2)
})

test('invalid descriptors are ignored', () => {
  const odd = [
    null,
    'x',
    {},
    { ...descriptor, digest: 'sha256:bad' },
    { ...descriptor, digest: 'sha384:abc' },
    { ...descriptor, size: -1 },
    { ...descriptor, size: 1.5 },
    { ...descriptor, size: '10' },
    { ...descriptor, mediaType: 7 },
  ]
  const seen = parse({ config: descriptor, layers: [...odd, descriptor] })
  assert.deepEqual(seen.references, [descriptor, descriptor])
})

test('unknown fields, whitespace and sha512 digests are accepted (H126)', () => {
  const long = blobOf(Buffer.from('x'), 'sha512').digest
  const document = {
    unknown: { deep: [1] },
    config: { ...descriptor, digest: long, annotations: { a: 'b' } },
    layers: [{ ...descriptor, unknown: 1 }],
  }
  for (const indent of [undefined, 1, '\t']) {
    const text = ` \r\n\t${JSON.stringify(document, undefined, indent)}\n\n`
    const { references, mediaType } = parseManifest(Buffer.from(text))
    assert.equal(mediaType, mediaTypes.ociManifest)
    assert.deepEqual(references, [{ ...descriptor, digest: long }, descriptor])
  }
})

test('whatever the bytes are, they are a manifest or MANIFEST_INVALID', () => {
  const field = fc.constantFrom('mediaType', 'config', 'layers', 'manifests', 'blobs', 'fsLayers')
  const document = fc.dictionary(field, fc.oneof(fc.jsonValue(), fc.array(fc.jsonValue())))
  const bytes = fc.oneof(
    fc.uint8Array(),
    fc.json().map((text) => Buffer.from(text)),
    document.map((fields) => Buffer.from(JSON.stringify(fields))),
  )
  fc.assert(
    fc.property(bytes, (content) => {
      try {
        const { mediaType, references } = parseManifest(Buffer.from(content))
        assert.match(mediaType, /^[\w!#$&.+^-]+\/[\w!#$&.+^-]+$/)
        for (const { size } of references) assert.ok(Number.isSafeInteger(size) && size >= 0)
      } catch (error) {
        assert.ok(isRegistryError(error, 'MANIFEST_INVALID'), String(error))
      }
    }),
  )
})

test('empty lists and configs do not change the kind of a manifest (issue 10, point 20)', () => {
  const index = { mediaType: mediaTypes.ociIndex, manifests: [descriptor] }
  for (const extra of [{ config: null }, { layers: [] }, { layers: null }, { mediaType: '' }]) {
    const seen = parse({ ...index, ...extra })
    assert.deepEqual([seen.mediaType, seen.isIndex], [mediaTypes.ociIndex, true])
  }
  const image = { config: descriptor, layers: [descriptor] }
  assert.equal(parse({ ...image, manifests: [] }).mediaType, mediaTypes.ociManifest)
  assert.equal(parse({ ...image, manifests: [] }).isIndex, false)
})

test('an OCI manifest without layers and mediaType is identified by its config (issue 10, point 20)', () => {
  assert.equal(parse({ schemaVersion: 2, config: descriptor }).mediaType, mediaTypes.ociManifest)
})

test('a manifest may begin with a byte order mark (issue 10, point 20)', () => {
  const bytes = Buffer.from(`\ufeff${JSON.stringify({ manifests: [descriptor] })}`)
  assert.equal(parseManifest(bytes).references.length, 1)
  assert.equal(childrenOf(bytes).length, 1)
})

test('a specific Content-Type determines the media type, a generic one does not (issue 10, point 20)', () => {
  const typed = (type: string) => parseManifest(Buffer.from('{"odd":1}'), type).mediaType
  const type = 'application/vnd.example.thing.v1+json'
  assert.equal(typed(type), type)
  assert.equal(typed(`${type}; charset=utf-8`), type)
  for (const other of ['application/json', 'text/html', 'application/vnd.x+xml', 'x'])
    assert.throws(
      () => typed(other),
      (error) => isRegistryError(error, 'MANIFEST_INVALID'),
      other,
    )
  const index = Buffer.from(JSON.stringify({ manifests: [] }))
  assert.equal(parseManifest(index, type).mediaType, mediaTypes.ociIndex)
})

test('the largest allowed index does not block the event loop (issue 10, point 53)', () => {
  const children = Array.from({ length: 43_500 }, () => ({ digest, size: 1 }))
  const index = Buffer.from(JSON.stringify({ manifests: children }))
  const empty = Buffer.from(`{"manifests":[${'{},'.repeat(1_390_000)}{}]}`)
  const parsing = duration(() => assert.equal(parseManifest(index).references.length, 43_500))
  const refusing = duration(() => refuses(empty))
  // Relative to JSON.parse, to be independent of the machine: a schema took 4 and 13 times as long.
  const alone = duration(() => JSON.parse(empty.toString('utf8')))
  assert.ok(parsing < alone, `${parsing} ms, and ${alone} ms for JSON alone`)
  assert.ok(refusing < alone / 2, `${refusing} ms, and ${alone} ms for JSON alone`)
})

function duration(work: () => void): number {
  const runs = Array.from({ length: 3 }, () => {
    const began = performance.now()
    work()
    return performance.now() - began
  })
  return Math.min(...runs)
}

test('very deep and very wide documents are parsed or rejected in time', () => {
  const deep = `{"mediaType":"a/b","x":${'['.repeat(1_000_000)}${']'.repeat(1_000_000)}}`
  const wide = JSON.stringify({ manifests: Array.from({ length: 60_000 }, () => ({ x: 1 })) })
  const began = performance.now()
  for (const text of [deep, wide]) {
    try {
      parseManifest(Buffer.from(text))
    } catch (error) {
      assert.ok(isRegistryError(error, 'MANIFEST_INVALID'), String(error))
    }
  }
  assert.ok(performance.now() - began < 5000)
})

test('the details of a manifest are its config, subject, artifact type, annotations and foreign layers', () => {
  const layer = { ...descriptor, mediaType: 'application/vnd.oci.image.layer.v1.tar' }
  const foreign = { ...layer, urls: ['https://example.com/layer'] }
  const image = {
    mediaType: mediaTypes.ociManifest,
    config: { ...descriptor, mediaType: 'application/vnd.example.config' },
    layers: [layer, foreign],
    subject: { ...descriptor, mediaType: mediaTypes.ociIndex },
    annotations: { title: 'a', odd: 1 },
  }
  const details = (document: unknown) => parseManifestDetails(Buffer.from(JSON.stringify(document)))
  const found = details(image)
  assert.deepEqual(found.config, image.config)
  assert.deepEqual(found.subject, image.subject)
  assert.equal(found.artifactType, 'application/vnd.example.config')
  assert.deepEqual(found.annotations, { title: 'a' })
  assert.deepEqual(found.foreign, [layer])
  assert.equal(found.references.length, 2)
  assert.equal(details({ ...image, artifactType: 'a/b' }).artifactType, 'a/b')
  const index = details({ manifests: [], artifactType: 'application/x' })
  assert.equal(index.artifactType, 'application/x')
  assert.equal(index.subject, undefined)
  assert.throws(
    () => details({ ...image, subject: { digest: 'sha256:short' } }),
    (error) => isRegistryError(error, 'MANIFEST_INVALID'),
  )
})

test('an upload id is a UUID', () => {
  assert.equal(parseUploadId(createUploadId()).length, 36)
  for (const text of ['', '..', 'A'.repeat(36), `${createUploadId()}/x`])
    assert.throws(
      () => parseUploadId(text),
      (error) => isRegistryError(error, 'BLOB_UPLOAD_UNKNOWN'),
    )
})
