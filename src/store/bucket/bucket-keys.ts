import { dirname } from 'node:path'
import { algorithmOf, type Digest, encodedOf, isDigest } from '../../oci/digest.ts'
import { isRepositoryName, isTag, type RepositoryName } from '../../oci/reference.ts'
import type { TrashEntry } from '../hosted/hosted-store.ts'
import { trashDirectory } from '../hosted/layout.ts'
import type { RunId } from '../hosted/run-id.ts'
import type { ObjectStore } from '../object-store.ts'

// Keys are the paths of a volume: Distribution's, and those of the trash, which it ignores.

/** The part of a digest in a path. */
function pathOf(digest: Digest): string {
  return `${algorithmOf(digest)}/${encodedOf(digest)}`
}

/** Says that a blob is in the trash. */
export function markKey(root: string, digest: Digest): string {
  return `${trashDirectory(root)}/marks/${pathOf(digest)}`
}

export function marksPrefix(root: string): string {
  return `${trashDirectory(root)}/marks/`
}

export function runPrefix(root: string, run: RunId): string {
  return `${trashDirectory(root)}/${run}/`
}

export function removedTagsPrefix(root: string, run: RunId, name: RepositoryName): string {
  return `${runPrefix(root, run)}tag/${name}/`
}

/** What a run removed is in the keys, so that a listing is enough to know it. */
export function entryKey(root: string, run: RunId, entry: TrashEntry): string {
  const prefix = runPrefix(root, run)
  switch (entry.kind) {
    case 'blob':
      return `${prefix}blob/${pathOf(entry.digest)}/${entry.size}`
    case 'layer':
    case 'manifest':
      return `${prefix}${entry.kind}/${entry.name}/${pathOf(entry.digest)}`
    case 'referrer':
      return `${prefix}referrer/${entry.name}/${pathOf(entry.subject)}/${pathOf(entry.digest)}`
    case 'tag':
      return `${removedTagsPrefix(root, run, entry.name)}${entry.tag}`
  }
}

/** `path`: a key without the prefix of its run. Undefined: it is not ours. */
export function parseEntry(path: string): TrashEntry | undefined {
  const [kind, ...words] = path.split('/')
  if (kind === 'blob') {
    const size = Number(words.pop())
    const digest = takeDigest(words)
    return digest && Number.isSafeInteger(size) ? { kind, digest, size } : undefined
  }
  if (kind === 'tag') {
    const tag = words.pop() ?? ''
    const name = words.join('/')
    return isTag(tag) && isRepositoryName(name) ? { kind, name, tag } : undefined
  }
  if (kind !== 'layer' && kind !== 'manifest' && kind !== 'referrer') return undefined
  const digest = takeDigest(words)
  const subject = kind === 'referrer' ? takeDigest(words) : undefined
  const name = words.join('/')
  if (digest === undefined || !isRepositoryName(name)) return undefined
  if (kind !== 'referrer') return { kind, name, digest }
  return subject && { kind, name, subject, digest }
}

function takeDigest(words: string[]): Digest | undefined {
  const encoded = words.pop()
  const digest = `${words.pop()}:${encoded}`
  return isDigest(digest) ? digest : undefined
}

/** The digest of a mark. */
export function digestOfMark(key: string): Digest | undefined {
  return takeDigest(key.split('/'))
}

/** The digest of a link `…/ALGORITHM/HEX/link`. */
export function digestOfLink(key: string): Digest | undefined {
  return key.endsWith('/link') ? takeDigest(dirname(key).split('/')) : undefined
}

/** The digest of a blob's bytes, `…/ALGORITHM/ab/HEX/data`. */
export function digestOfData(key: string): Digest | undefined {
  const [algorithm, , encoded, name] = key.split('/').slice(-4)
  const digest = `${algorithm}:${encoded}`
  return name === 'data' && isDigest(digest) ? digest : undefined
}

/** Digests of the links below a prefix. */
export async function* linksBelow(
  objects: ObjectStore,
  prefix: string,
): AsyncGenerator<Digest, void, undefined> {
  for await (const page of objects.list(`${prefix}/`))
    for (const { key } of page.objects) {
      const digest = digestOfLink(key)
      // Of a direct child: the links of signatures are deeper.
      if (digest !== undefined && key === `${prefix}/${pathOf(digest)}/link`) yield digest
    }
}

/** The next parts of keys below a prefix. Some may belong to directories that have become empty. */
export async function childrenOf(objects: ObjectStore, prefix: string): Promise<readonly string[]> {
  const names: string[] = []
  for await (const page of objects.list(`${prefix}/`, { delimiter: '/' }))
    names.push(...page.prefixes.map((child) => child.slice(prefix.length + 1, -1)))
  return names
}

/** Without a delimiter: some stores name directories that have become empty. */
export async function hasAny(objects: ObjectStore, prefix: string): Promise<boolean> {
  for await (const page of objects.list(`${prefix}/`)) if (page.objects.length > 0) return true
  return false
}
