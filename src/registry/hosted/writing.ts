import type { RepositoryName } from '../../oci/reference.ts'
import { writing } from '../disk-errors.ts'
import type { WritableRepository } from '../repository.ts'
import type { Uploads } from '../uploads/uploads.ts'
import type { createCatalog } from './catalog.ts'
import { createClosures } from './closure.ts'
import { createDeletes } from './deletes.ts'
import { createMount } from './mounts.ts'
import type { HostedParts } from './parts.ts'
import { createPutManifest } from './put-manifest.ts'
import type { ImagesInUse } from './reading.ts'
import type { References } from './references.ts'

type WritingOptions = HostedParts & {
  readonly inUse: ImagesInUse
  readonly isShared: boolean
  readonly uploads: Uploads
  readonly references: References
  readonly knownReferences: References
  readonly catalog: ReturnType<typeof createCatalog>
  readonly acceptsSparse: (name: RepositoryName) => boolean
  readonly isHosted: (name: RepositoryName) => boolean
}

/** The write side of hosted repositories. */
export function createWriting({
  uploads,
  references,
  knownReferences,
  catalog,
  ...parts
}: WritingOptions) {
  const { store, index, leases, now } = parts
  const { links } = store
  const closures = createClosures(parts)
  const putManifest = createPutManifest({ ...parts, closures, onAdded: catalog.added })
  const deletes = createDeletes({
    ...parts,
    references,
    knownReferences,
    onRemoved: catalog.removed,
  })
  const mount = createMount(parts)

  const open = (name: RepositoryName): WritableRepository => {
    const write = <Result>(action: () => Promise<Result>) => writing(store, name, action)

    return {
      startUpload: (request) => write(() => uploads.start(name, request)),
      uploadStatus: (upload) => write(() => uploads.status(name, upload)),
      append: (upload, body, range) => write(() => uploads.append(name, upload, body, range)),
      finishUpload: (upload, digest, body, range) =>
        write(async () => {
          await leases.renew(digest)
          const onStored = async (size: number): Promise<void> => {
            await links.addBlob(name, digest)
            index?.apply([
              { kind: 'blob', digest, size, at: now() },
              { kind: 'link', name, digest },
            ])
            await leases.renew(digest)
          }
          return uploads.finish(name, upload, { digest, body, range, onStored })
        }),
      cancelUpload: (upload) => write(() => uploads.cancel(name, upload)),
      mount: (request) => write(() => mount(name, request)),
      putManifest: (request) => write(() => putManifest(name, request)),
      deleteTag: (tag, precondition) => write(() => deletes.tag(name, tag, precondition)),
      deleteManifest: (digest) => write(() => deletes.manifest(name, digest)),
      deleteBlob: (digest) => write(() => deletes.blob(name, digest)),
    }
  }

  return { open, removals: { untag: deletes.untag, manifest: deletes.retire } }
}
