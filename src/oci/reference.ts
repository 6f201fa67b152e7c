import { algorithmOf, type Digest, encodedOf, parseDigest } from './digest.ts'
import { RegistryError } from './errors.ts'

declare const brand: unique symbol

/** A repository name without host (distribution-spec, "Pulling manifests"). */
export type RepositoryName = string & { readonly [brand]: 'RepositoryName' }
export type Tag = string & { readonly [brand]: 'Tag' }

/** The last part of a `/manifests/` path. */
export type Reference = { readonly tag: Tag } | { readonly digest: Digest }

const component = '[a-z0-9]+(?:(?:[.]|_|__|-+)[a-z0-9]+)*'
const nameGrammar = new RegExp(`^${component}(?:/${component})*$`)
const tagGrammar = /^[a-zA-Z0-9_][a-zA-Z0-9._-]{0,127}$/
const maxNameLength = 255

/** @throws RegistryError NAME_INVALID */
export function parseRepositoryName(text: string): RepositoryName {
  if (!isRepositoryName(text)) {
    throw new RegistryError('NAME_INVALID', {
      message:
        'invalid repository name: expected lower-case letters and digits with single separators (. _ __ -) between them, in parts separated by /, at most 255 characters',
    })
  }
  return text
}

export function isRepositoryName(text: string): text is RepositoryName {
  return text.length <= maxNameLength && nameGrammar.test(text)
}

export function isTag(text: string): text is Tag {
  return tagGrammar.test(text)
}

/** @throws RegistryError MANIFEST_INVALID */
export function parseTag(text: string): Tag {
  if (!isTag(text)) {
    throw new RegistryError('MANIFEST_INVALID', {
      message:
        'invalid tag: expected at most 128 letters, digits, _ . or -, not beginning with . or -',
    })
  }
  return text
}

/**
 * A text with a colon is a digest, because tags have no colon.
 * @throws RegistryError DIGEST_INVALID, MANIFEST_INVALID
 */
export function parseReference(text: string): Reference {
  return text.includes(':') ? { digest: parseDigest(text) } : { tag: parseTag(text) }
}

export function formatReference(reference: Reference): string {
  return 'tag' in reference ? reference.tag : reference.digest
}

/** The tag of the referrers list in registries without the referrers API (distribution-spec, "Referrers Tag Schema"). */
export function referrersTag(digest: Digest): Tag {
  return parseTag(`${algorithmOf(digest)}-${encodedOf(digest).slice(0, 64)}`)
}

/** `prefix/name`, or `name` if the prefix is empty. */
export function joinName(prefix: string, name: string): RepositoryName {
  return parseRepositoryName(prefix === '' ? name : `${prefix}/${name}`)
}

/** The rest of `name` after the segments of `prefix`; undefined if it does not begin with them. */
export function nameBelow(prefix: string, name: RepositoryName): RepositoryName | undefined {
  if (prefix === '') return name
  const rest = name.startsWith(`${prefix}/`) ? name.slice(prefix.length + 1) : ''
  return isRepositoryName(rest) ? rest : undefined
}
