import type { Digest } from '../oci/digest.ts'
import type { RegistryError } from '../oci/errors.ts'
import type { PageRequest } from '../oci/page.ts'
import type { RepositoryName, Tag } from '../oci/reference.ts'
import type { RemoteManifest, RemoteReferrers, RemoteTags } from '../remote/remote.ts'

/** A name below the prefix of an upstream. */
type Proxied = { readonly prefix: string; readonly name: RepositoryName }

/** What the upstream has said to another replica about a tag. */
export type SharedTag = {
  /** Undefined: there is no such tag, or there is an error. */
  readonly digest?: Digest | undefined
  /** Milliseconds since the upstream has said so. */
  readonly age: number
  /** The digest is stale. */
  readonly warning?: string | undefined
  readonly error?: RegistryError | undefined
  /** The manifest that the other replica has. */
  readonly manifest?: (digest: Digest) => Promise<RemoteManifest | undefined>
}

/** A page of tags, or the referrers of a manifest. */
export type ListRequest = { readonly page: PageRequest } | { readonly digest: Digest }

/** `age`: milliseconds since the upstream has sent it. */
export type Aged<List> = { readonly list: List; readonly age: number }

export type SharedList = Aged<RemoteTags | RemoteReferrers>

/** What was pushed to a repository of an upstream, or deleted from it, just now. */
export type Change = {
  readonly isDeleted: boolean
  readonly tags: readonly Tag[]
  readonly digest?: Digest
}

/**
 * Another replica, which asks the upstream for all. Undefined: there is none, or it does not answer. Never reject,
 * except with the upstream's throttling.
 */
export interface SharedManifests {
  tag(tag: Proxied & { readonly tag: Tag; readonly origin: string }): Promise<SharedTag | undefined>
  /** Its bytes, verified. They are no permission: the upstream is asked whether this repository has them. */
  manifest(manifest: Proxied & { readonly digest: Digest }): Promise<RemoteManifest | undefined>
  list(
    list: Proxied & { readonly origin: string; readonly asked: ListRequest },
  ): Promise<SharedList | undefined>
  /** All others forget what they know of it. Resolves when those have that answer. */
  changed(change: Proxied & Change): Promise<void>
}

/** A registry without replicas. */
export const notShared: SharedManifests = {
  tag: async () => undefined,
  manifest: async () => undefined,
  list: async () => undefined,
  changed: async () => {},
}
