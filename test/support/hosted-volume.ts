import assert from 'node:assert/strict'
import { readdir, readFile } from 'node:fs/promises'
import { join } from 'node:path'
import { algorithmOf, digestOf, isDigest } from '../../src/oci/digest.ts'
import { volumePath } from './volume.ts'

/** A tag of a volume, and the digest that it points to. */
export type TagOnDisk = { readonly name: string; readonly tag: string; readonly digest: string }

type Descriptor = { readonly digest: string; readonly urls?: readonly string[] }
type Document = {
  readonly config?: Descriptor
  readonly layers?: readonly Descriptor[]
  readonly manifests?: readonly Descriptor[]
}

type CheckOptions = {
  /** Repositories whose images may lack blobs. */
  readonly sparse?: readonly string[]
}

/**
 * Checks a volume of hosted repositories as it is on the disk, without the code under test: every blob
 * has the bytes of its digest; every tag points to a manifest of its repository, and everything that it
 * leads to is there and linked (children that were never pushed excepted); no temporary file is left.
 * Returns the tags.
 */
export async function checkVolume(
  root: string,
  { sparse = [] }: CheckOptions = {},
): Promise<readonly TagOnDisk[]> {
  const layout = join(root, 'docker/registry/v2')
  await checkBlobs(root, join(layout, 'blobs'))
  const links = await linksBelow(join(layout, 'repositories'))
  const tags = [...links.entries()].flatMap(([path, digest]) => {
    const match = /^(.*)\/_manifests\/tags\/([^/]+)\/current\/link$/.exec(path)
    return match === null ? [] : [{ name: match[1] ?? '', tag: match[2] ?? '', digest }]
  })
  const check = async (name: string, digest: string): Promise<void> => {
    const revision = `${name}/_manifests/revisions/${digest.replace(':', '/')}/link`
    assert.equal(links.get(revision), digest, `${name} has no revision ${digest}`)
    const document = JSON.parse(await readFile(volumePath(root, digest), 'utf8')) as Document
    const blobs = [...(document.config ? [document.config] : []), ...(document.layers ?? [])]
    for (const blob of blobs) {
      if (blob.urls !== undefined || sparse.includes(name)) continue
      const link = `${name}/_layers/${blob.digest.replace(':', '/')}/link`
      assert.equal(links.get(link), blob.digest, `${name} has no layer ${blob.digest}`)
      await readFile(volumePath(root, blob.digest))
    }
    for (const child of document.manifests ?? []) {
      const link = `${name}/_manifests/revisions/${child.digest.replace(':', '/')}/link`
      if (links.has(link)) await check(name, child.digest)
    }
  }
  for (const { name, digest } of tags) await check(name, digest)
  assert.deepEqual(await filesBelow(join(root, 'tmp')), [], 'temporary files')
  return tags
}

/** Upload sessions on the disk: the paths of their directories. */
export async function uploadsOnDisk(root: string): Promise<readonly string[]> {
  const files = await filesBelow(join(root, 'docker/registry/v2/repositories'))
  const sessions = files.flatMap((path) => /^.*\/_uploads\/[^/]+/.exec(path)?.[0] ?? [])
  return [...new Set(sessions)]
}

/** Digests of the blobs on the disk. */
export async function blobsOnDisk(root: string): Promise<readonly string[]> {
  const files = await filesBelow(join(root, 'docker/registry/v2/blobs'))
  return files.flatMap((path) => {
    const [algorithm, , encoded, data] = path.split('/')
    return data === 'data' ? [`${algorithm}:${encoded}`] : []
  })
}

async function checkBlobs(root: string, directory: string): Promise<void> {
  for (const path of await filesBelow(directory)) {
    const [algorithm, , encoded, file] = path.split('/')
    const digest = `${algorithm}:${encoded}`
    if (file !== 'data') continue
    assert.ok(isDigest(digest), `${path} is no blob`)
    const bytes = await readFile(volumePath(root, digest))
    assert.equal(digestOf(bytes, algorithmOf(digest)), digest)
  }
}

/** Content of all link files, by path. */
async function linksBelow(directory: string): Promise<ReadonlyMap<string, string>> {
  const paths = (await filesBelow(directory)).filter((path) => path.endsWith('/link'))
  return new Map(
    await Promise.all(
      paths.map(async (path) => [path, await readFile(join(directory, path), 'utf8')] as const),
    ),
  )
}

async function filesBelow(directory: string): Promise<readonly string[]> {
  const entries = await readdir(directory, { recursive: true, withFileTypes: true }).catch(() => [])
  return entries
    .filter((entry) => entry.isFile())
    .map(({ parentPath, name }) => join(parentPath, name).slice(directory.length + 1))
}
