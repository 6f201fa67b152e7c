import type { Digest } from '../oci/digest.ts'
import type { RepositoryName } from '../oci/reference.ts'
import type { HostedStore } from '../store/store.ts'
import { readManifest } from './manifest-reader.ts'

type LayoutReference = {
  readonly name: RepositoryName
  readonly manifest: Digest
  /** The manifest itself, or what it references. */
  readonly digest: Digest
}

/** What the manifests of all repositories reference, read from the files, without the index. */
export async function* layoutReferences({
  blobs,
  links,
}: Pick<HostedStore, 'blobs' | 'links'>): AsyncGenerator<LayoutReference, void, undefined> {
  for await (const name of links.names())
    for await (const manifest of links.manifestsOf(name)) {
      yield { name, manifest, digest: manifest }
      const found = await readManifest(blobs, manifest)
      for (const { digest } of found?.manifest.references ?? []) yield { name, manifest, digest }
    }
}
