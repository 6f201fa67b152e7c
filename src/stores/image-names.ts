import type { Digest } from '../oci/digest.ts'
import { parseImageName } from '../oci/image-location.ts'
import { parseImageReference } from '../oci/image-reference.ts'
import { StoreError } from './store-error.ts'

/**
 * The danger: the name becomes a part of a path of docker's API, and an argument of podman. So it has no
 * characters of other meaning, begins with none of an option, and no part of it is `..`.
 */
const grammar = /^(?!.*(?:\/\/|(?:^|\/)\.\.?(?:\/|$)))[A-Za-z0-9][\w.:/@+-]{0,511}$/

export function isStoreName(text: string): boolean {
  return grammar.test(text)
}

/** @throws StoreError if the text cannot be the name of an image in a store. */
export function assertStoreName(text: string): void {
  if (!isStoreName(text))
    throw new StoreError(
      'failed',
      `${JSON.stringify(text)} is not an image name: expected NAME[:TAG], NAME@DIGEST or DIGEST`,
    )
}

/** What an image may be called in containerd: as it is; as docker, nerdctl and the CRI plugin complete it; as podman does. */
export function fullNames(text: string): readonly string[] {
  const bare = withoutTag(text)
  const suffix = text.slice(bare.length) || ':latest'
  const complete = parseImageName(text)
  return [
    ...new Set([
      text,
      bare + suffix,
      ...(complete === undefined ? [] : [`${complete.host}/${complete.repository}${suffix}`]),
      ...(parseImageReference(text).host === undefined ? [`localhost/${bare}${suffix}`] : []),
    ]),
  ]
}

/** Docker's API and podman take a name without a tag for all its tags when they export it. */
export function withTag(text: string): string {
  return withoutTag(text) === text ? `${text}:latest` : text
}

function withoutTag(text: string): string {
  return text.replace(/@.*$/, '').replace(/:[^/:]*$/, '')
}

/** `HOST/NAME` of content that was pulled, from containerd's labels. */
export function sourcesIn(labels: Readonly<Record<string, string>>): readonly string[] {
  const prefix = 'containerd.io/distribution.source.'
  return Object.entries(labels).flatMap(([key, repositories]) =>
    key.startsWith(prefix)
      ? repositories.split(',').map((name) => `${key.slice(prefix.length)}/${name}`)
      : [],
  )
}

/** The first digits of a digest, for messages about several. */
export function shortDigest(digest: Digest): string {
  return digest.slice(0, digest.indexOf(':') + 13)
}
