import type { Digest } from '../../oci/digest.ts'
import { naturalKey } from '../../oci/natural-order.ts'
import type { RepositoryName, Tag } from '../../oci/reference.ts'
import type { BlobStored, TagSet } from '../change.ts'
import type { DatabaseFile } from './database-file.ts'
import type { Ids } from './ids.ts'
import type { ManifestContents } from './manifest-contents.ts'

/** Rows for what is on the volume. `pass`: the number of the current verification. */
export type Repositories = ReturnType<typeof createRepositories>

type Options = {
  readonly database: DatabaseFile
  readonly ids: Ids
  readonly contents: ManifestContents
}

export function createRepositories({ database, ids, contents }: Options) {
  const { prepare } = database

  return {
    putBlob: ({ digest, size, at }: Omit<BlobStored, 'kind'>, pass: number): void => {
      prepare(`
        INSERT INTO digests (digest, size, modified, seen) VALUES (?, ?, ?, ?)
        ON CONFLICT DO UPDATE
          SET size = excluded.size, modified = excluded.modified, seen = excluded.seen`).run(
        digest,
        size,
        Math.trunc(at),
        pass,
      )
    },

    removeBlob: (digest: Digest): void => {
      prepare('UPDATE digests SET size = NULL, modified = NULL WHERE digest = ?').run(digest)
    },

    putLink: (name: RepositoryName, digest: Digest, pass: number): void => {
      const repository = ids.ofName(name)
      const id = ids.ofDigest(digest)
      prepare(`
        INSERT INTO links (repository, digest, used, seen) VALUES (?1, ?2, EXISTS (
          SELECT 1 FROM contents JOIN revisions ON revisions.digest = contents.manifest
          WHERE contents.digest = ?2 AND revisions.repository = ?1), ?3)
        ON CONFLICT DO UPDATE SET seen = excluded.seen`).run(repository, id, pass)
    },

    removeLink: (name: RepositoryName, digest: Digest): void => {
      prepare('DELETE FROM links WHERE repository = ? AND digest = ?').run(
        ids.ofName(name),
        ids.ofDigest(digest),
      )
    },

    putRevision: (name: RepositoryName, digest: Digest, pass: number): void => {
      prepare(`
        INSERT INTO revisions (repository, digest, seen) VALUES (?, ?, ?)
        ON CONFLICT DO UPDATE SET seen = excluded.seen`).run(
        ids.ofName(name),
        ids.ofDigest(digest),
        pass,
      )
    },

    /** Links to what a manifest references are used from now on. */
    useLinks: (name: RepositoryName, manifest: Digest): void => {
      prepare(`
        UPDATE links SET used = 1
        WHERE repository = ? AND used = 0
          AND digest IN (SELECT digest FROM contents WHERE manifest = ?)`).run(
        ids.ofName(name),
        ids.ofDigest(manifest),
      )
    },

    removeRevision: (name: RepositoryName, digest: Digest): void => {
      const id = ids.ofDigest(digest)
      prepare('DELETE FROM revisions WHERE repository = ? AND digest = ?').run(ids.ofName(name), id)
      contents.removeUnused(id)
    },

    putTag: ({ name, tag, digest, at }: Omit<TagSet, 'kind'>, pass: number): void => {
      prepare(`
        INSERT OR REPLACE INTO tags (repository, tag, digest, at, natural, seen)
        VALUES (?, ?, ?, ?, ?, ?)`).run(
        ids.ofName(name),
        tag,
        ids.ofDigest(digest),
        Math.trunc(at),
        naturalKey(tag),
        pass,
      )
    },

    removeTag: (name: RepositoryName, tag: Tag): void => {
      prepare('DELETE FROM tags WHERE repository = ? AND tag = ?').run(ids.ofName(name), tag)
    },
  }
}
