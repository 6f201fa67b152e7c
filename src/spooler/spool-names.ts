import { createHash } from 'node:crypto'
import { basename, dirname, join } from 'node:path'
import { isDigest } from '../oci/digest.ts'
import {
  isRepositoryName,
  isTag,
  parseTag,
  type Reference,
  type RepositoryName,
  type Tag,
} from '../oci/reference.ts'

/** What a name in the spool asks for. */
export type Job =
  | {
      readonly kind: 'push'
      readonly name: RepositoryName
      /** Undefined: `latest`, or the tags of an archive of several images. */
      readonly tag: Tag | undefined
      /** An image archive; otherwise any file, which becomes an image. */
      readonly isArchive: boolean
      /** The file's own name, for the image of a file. */
      readonly title: string
    }
  | { readonly kind: 'delete'; readonly name: RepositoryName; readonly reference: Reference }
  | { readonly kind: 'invalid'; readonly reason: string }

const archiveEnding = /\.(?:tar|tar\.gz|tgz|tar\.zst)$/
const latest = parseTag('latest')

/** Directories at the top of a spool that are not repositories. */
export const failedDirectory = 'failed'
export const doneDirectory = 'done'
export const stateDirectory = '.berth'

/** Names of files that are still being written, and of hidden ones such as NFS's `.nfs0123`. */
export function isUnfinished(name: string): boolean {
  return name.endsWith('~') || name.endsWith('.tmp') || name.startsWith('.')
}

/** Bytes of a file name, with room for what is appended to it: `.json`, or `.replaced-` and a UUID. */
const maxKeptName = 200

/** The path below `failed/`, `done/` and `.berth/` for a file: the same one, unless its name is too long for an ending. */
export function keptPath(path: string): string {
  const name = basename(path)
  if (Buffer.byteLength(name) <= maxKeptName) return path
  const hash = createHash('sha256').update(name).digest('hex').slice(0, 32)
  return join(dirname(path), `${[...name].slice(0, 40).join('')}-${hash}`)
}

/**
 * Parses a path below the spool: directories, and `\` in a name, are parts of the repository; `:` gives
 * the tag; the endings of archives are removed, and nothing else; `!` at the end deletes.
 */
export function parseSpoolPath(path: string, prefix = ''): Job {
  const isDelete = path.endsWith('!')
  const isArchive = !isDelete && archiveEnding.test(path)
  const named = isDelete ? path.slice(0, -1) : path.replace(isArchive ? archiveEnding : /$^/, '')
  const full = [...(prefix === '' ? [] : [prefix]), named.replaceAll('\\', '/')].join('/')
  const { name, reference } = split(full)
  if (!isRepositoryName(name))
    return {
      kind: 'invalid',
      reason: `${JSON.stringify(name)} is not a repository name: expected lower-case letters and digits with single separators (. _ __ -), in parts separated by / or \\`,
    }
  if (reference !== undefined && !isTag(reference) && !isDigest(reference))
    return {
      kind: 'invalid',
      reason: `${JSON.stringify(reference)} is not a tag: expected at most 128 letters, digits, _ . or -, not beginning with . or -`,
    }
  const tag = reference !== undefined && isTag(reference) ? reference : undefined
  if (isDelete) {
    const digest = reference !== undefined && isDigest(reference) ? reference : undefined
    return { kind: 'delete', name, reference: digest ? { digest } : { tag: tag ?? latest } }
  }
  if (reference !== undefined && tag === undefined)
    return { kind: 'invalid', reason: 'an image is pushed under a tag, its digest follows from it' }
  const title = path.split(/[/\\]/).at(-1)?.replace(/:.*$/, '') ?? path
  return { kind: 'push', name, tag, isArchive, title }
}

/** `name@sha256:…`, `name:tag` or `name`. */
function split(text: string): { readonly name: string; readonly reference?: string } {
  const at = text.indexOf('@')
  if (at >= 0) return { name: text.slice(0, at), reference: text.slice(at + 1) }
  const colon = text.indexOf(':', text.lastIndexOf('/'))
  if (colon < 0) return { name: text }
  return { name: text.slice(0, colon), reference: text.slice(colon + 1) }
}
