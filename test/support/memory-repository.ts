import type { Auth } from '../../src/auth/auth.ts'
import { type Digest, digestOf } from '../../src/oci/digest.ts'
import { RegistryError } from '../../src/oci/errors.ts'
import type { RepositoryName, Tag } from '../../src/oci/reference.ts'
import { createUploadId } from '../../src/oci/upload-id.ts'
import type { Body, Registry, Resolved, WritableRepository } from '../../src/registry/registry.ts'

type Session = { readonly writer: string; readonly chunks: Buffer[]; isBusy: boolean }

/** A repository in memory that records the calls of the HTTP side. */
export interface MemoryRepository {
  readonly registry: Registry
  readonly blobs: Map<Digest, Buffer>
  readonly manifests: Map<Digest, Buffer>
  readonly tags: Map<Tag, Digest>
  /** The bytes of each session. */
  sessions(): readonly Buffer[]
  /** Bytes are consumed no further until the returned function is called. */
  hold(): () => void
}

/** `readOnly`: why the repository can only be read. */
export function createMemoryRepository(readOnly?: string): MemoryRepository {
  const blobs = new Map<Digest, Buffer>()
  const manifests = new Map<Digest, Buffer>()
  const tags = new Map<Tag, Digest>()
  const sessions = new Map<string, Session>()
  let held: Promise<void> = Promise.resolve()

  const sizeOf = ({ chunks }: Session) => chunks.reduce((sum, { length }) => sum + length, 0)

  const find = ({ id, writer }: Parameters<WritableRepository['uploadStatus']>[0]): Session => {
    const session = sessions.get(id)
    if (session === undefined || session.writer !== writer)
      throw new RegistryError('BLOB_UPLOAD_UNKNOWN')
    return session
  }

  const receive = async (session: Session, body: Body, first = sizeOf(session)): Promise<void> => {
    if (session.isBusy || first !== sizeOf(session))
      throw new RegistryError('BLOB_UPLOAD_INVALID', { status: 416 })
    session.isBusy = true
    try {
      for await (const chunks of body) {
        await held
        session.chunks.push(...chunks.map((chunk) => Buffer.from(chunk)))
      }
    } finally {
      session.isBusy = false
    }
  }

  const writable: WritableRepository = {
    startUpload: async ({ writer }) => {
      const id = createUploadId()
      sessions.set(id, { writer, chunks: [], isBusy: false })
      return { id, size: 0 }
    },
    uploadStatus: async (upload) => ({ id: upload.id, size: sizeOf(find(upload)) }),
    append: async (upload, body, range) => {
      const session = find(upload)
      await receive(session, body, range?.first)
      return { id: upload.id, size: sizeOf(session) }
    },
    finishUpload: async (upload, digest, body, range) => {
      const session = find(upload)
      if (body !== undefined) await receive(session, body, range?.first)
      const bytes = Buffer.concat(session.chunks)
      sessions.delete(upload.id)
      const algorithm = digest.startsWith('sha512') ? 'sha512' : 'sha256'
      if (digestOf(bytes, algorithm) !== digest) throw new RegistryError('DIGEST_INVALID')
      blobs.set(digest, bytes)
    },
    cancelUpload: async (upload) => {
      find(upload)
      sessions.delete(upload.id)
    },
    mount: async ({ digest, from, mayPull }) =>
      blobs.has(digest) && (from === undefined || mayPull(from)),
    putManifest: async ({ reference, tags: given, bytes }) => {
      const digest = 'digest' in reference ? reference.digest : digestOf(bytes)
      manifests.set(digest, bytes)
      for (const tag of 'tag' in reference ? [reference.tag, ...given] : given)
        tags.set(tag, digest)
      return { digest }
    },
    deleteTag: async (tag) => tags.delete(tag),
    deleteManifest: async (digest) => manifests.delete(digest),
    deleteBlob: async (digest) => blobs.delete(digest),
  }

  const repository: Resolved['repository'] = {
    manifest: async () => undefined,
    blob: async () => undefined,
    statBlob: async () => undefined,
    tags: async () => ({ tags: [...tags.keys()] }),
    referrers: async () => ({ descriptors: [] }),
  }

  return {
    blobs,
    manifests,
    tags,
    sessions: () => [...sessions.values()].map(({ chunks }) => Buffer.concat(chunks)),
    hold: () => {
      const { promise, resolve } = Promise.withResolvers<void>()
      held = promise
      return resolve
    },
    registry: {
      resolve: (name: RepositoryName) => ({
        name,
        prefix: '',
        below: name,
        isHosted: readOnly === undefined,
        repository,
        anonymous: true,
        ...(readOnly === undefined ? { writable } : { readOnly }),
      }),
      catalog: async () => [],
      fillsInFlight: () => 0,
      close: async () => {},
    },
  }
}

/** All users may do everything, except pull from `private/…` or push to `forbidden/…`. */
export const openAuth: Auth = {
  mode: 'off',
  known: () => ({ kind: 'auth-off' }),
  authenticate: () => ({ kind: 'auth-off' }),
  allows: (_identity, action, name) =>
    !name.startsWith(action === 'pull' ? 'private/' : 'forbidden/'),
  extentOf: () => 'some',
  reload: async () => {},
}
