import { join } from 'node:path'
import { LRUCache } from 'lru-cache'
import type { RepositoryName } from '../../oci/reference.ts'
import { createUploadId, isUploadId, type UploadId } from '../../oci/upload-id.ts'
import { createHashTurns } from '../hash-turns.ts'
import type { BlobPlace } from './blob-place.ts'
import { entriesOf, repositoriesIn } from './directories.ts'
import { createGrowingFile } from './growing-file.ts'
import type { UploadStore, UploadSummary } from './hosted-store.ts'
import { uploadDirectory, uploadsDirectory } from './layout.ts'
import { dataName, dataOf, readSession, type Session, writeSession } from './session-files.ts'
import type { Syncing } from './syncing.ts'
import { createUpload, type OpenUpload } from './upload.ts'

/** Sessions with an open file and a running hash. */
const maxAwake = 128

export interface Uploads extends UploadStore {
  close(): Promise<void>
}

type UploadsOptions = {
  readonly root: string
  readonly syncing: Syncing
  readonly place: BlobPlace
}

/**
 * Upload sessions as directories, as in Distribution. Those that this process has used are kept in
 * memory until they end; their number is limited by the caller, which creates and expires them.
 */
export function createUploads({ root, syncing, place }: UploadsOptions): Uploads {
  const hashTurn = createHashTurns()
  const sessions = new Map<string, OpenUpload>()
  const resting = new Set<Promise<void>>()
  const awake = new LRUCache<string, OpenUpload>({
    max: maxAwake,
    dispose: (upload, _key, reason) => {
      if (reason === 'evict') letRest(upload)
    },
  })

  const letRest = (upload: OpenUpload): void => {
    const work = upload.rest().finally(() => resting.delete(work))
    resting.add(work)
  }

  const keep = (
    name: RepositoryName,
    id: UploadId,
    { session, size }: { readonly session: Session; readonly size: number },
  ): OpenUpload => {
    const key = `${name} ${id}`
    const directory = uploadDirectory(root, name, id)
    const { algorithm } = session
    const upload = createUpload({
      id,
      directory,
      session,
      file: createGrowingFile({
        ...{ path: join(directory, dataName), size, algorithm, syncing, hashTurn },
      }),
      place,
      onUse: () => awake.set(key, upload),
      onEnd: () => {
        awake.delete(key)
        sessions.delete(key)
      },
    })
    sessions.set(key, upload)
    return upload
  }

  return {
    create: (name, { writer, algorithm }) =>
      place.change(async () => {
        const id = createUploadId()
        const session = { writer, algorithm, startedAt: Date.now() }
        await writeSession(uploadDirectory(root, name, id), session)
        return keep(name, id, { session, size: 0 })
      }),

    open: async (name, id) => {
      const key = `${name} ${id}`
      const known = sessions.get(key)
      if (known !== undefined) return known
      const directory = uploadDirectory(root, name, id)
      const session = await readSession(directory)
      if (session === undefined) return undefined
      const data = await dataOf(directory)
      return sessions.get(key) ?? keep(name, id, { session, size: data?.size ?? 0 })
    },

    list: async function* () {
      for await (const name of repositoriesIn(root))
        for (const id of (await entriesOf(uploadsDirectory(root, name))).filter(isUploadId)) {
          const summary = await summaryOf(root, name, id)
          if (summary !== undefined) yield summary
        }
    },

    close: async () => {
      await Promise.all([...sessions.values()].map((upload) => upload.close()))
      await Promise.all(resting)
    },
  }
}

async function summaryOf(
  root: string,
  name: RepositoryName,
  id: UploadId,
): Promise<UploadSummary | undefined> {
  const directory = uploadDirectory(root, name, id)
  const [session, data] = await Promise.all([readSession(directory), dataOf(directory)])
  if (session === undefined) return undefined
  const { startedAt } = session
  return { name, id, startedAt, lastWriteAt: Math.max(startedAt, data?.lastWriteAt ?? 0) }
}
