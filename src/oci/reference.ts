import { algorithmOf, type Digest, encodedOf, parseDigest } from './digest.ts'
import { RegistryError } from './errors.ts'

declare const brand: unique symbol

/**
 * A repository's name as the specification writes it, without host (distribution-spec, "Pulling
 * manifests").
 */
export type RepositoryName = string & { readonly [brand]: 'RepositoryName' }
export type Tag = string & { readonly [brand]: 'Tag' }

/** What stands behind `/manifests/`. */
export type Reference = { readonly tag: Tag } | { readonly digest: Digest }

const component = /^[a-z0-9]+(?:(?:\.|_|__|-+)[a-z0-9]+)*$/
const tagGrammar = /^[a-zA-Z0-9_][a-zA-Z0-9._-]{0,127}$/
const maxNameLength = 255

/** @throws RegistryError NAME_INVALID */
export function parseRepositoryName(text: string): RepositoryName {
  if (!isRepositoryName(text)) {
    throw new RegistryError('NAME_INVALID', {
      message:
        'invalid repository name: lower-case letters, digits and single separators (. _ __ -) between them, parts joined by /, at most 255 characters',
    })
  }
  return text
}

export function isRepositoryName(text: string): text is RepositoryName {
  return text.length <= maxNameLength && text.split('/').every((part) => component.test(part))
}

export function isTag(text: string): text is Tag {
  return tagGrammar.test(text)
}

/** @throws RegistryError MANIFEST_INVALID */
function parseTag(text: string): Tag {
  if (!isTag(text)) {
    throw new RegistryError('MANIFEST_INVALID', {
      message: 'invalid tag: at most 128 letters, digits, _ . - and neither . nor - in front',
    })
  }
  return text
}

/**
 * A tag holds no colon, so whatever has one is meant as a digest.
 * @throws RegistryError DIGEST_INVALID, MANIFEST_INVALID
 */
export function parseReference(text: string): Reference {
  return text.includes(':') ? { digest: parseDigest(text) } : { tag: parseTag(text) }
}

export function formatReference(reference: Reference): string {
  return 'tag' in reference ? reference.tag : reference.digest
}

/**
 * The tag under which registries without the referrers API keep the list (distribution-spec,
 * "Referrers Tag Schema").
 */
export function referrersTag(digest: Digest): Tag {
  return parseTag(`${algorithmOf(digest)}-${encodedOf(digest).slice(0, 64)}`)
}

/** `prefix` in front of `name`, or `name` alone for the empty prefix. */
export function joinName(prefix: string, name: string): RepositoryName {
  return parseRepositoryName(prefix === '' ? name : `${prefix}/${name}`)
}

/**
 * What is left of `name` below `prefix`: whole segments only, undefined when it is not below it.
 */
export function nameBelow(prefix: string, name: RepositoryName): RepositoryName | undefined {
  if (prefix === '') return name
  const rest = name.startsWith(`${prefix}/`) ? name.slice(prefix.length + 1) : ''
  return isRepositoryName(rest) ? rest : undefined
}
