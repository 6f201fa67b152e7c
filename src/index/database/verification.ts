import type { Digest } from '../../oci/digest.ts'
import { isRegistryError } from '../../oci/errors.ts'
import { type ManifestDetails, parseManifestDetails } from '../../oci/manifest.ts'
import type { RepositoryName, Tag } from '../../oci/reference.ts'
import type { SourceBlob } from '../index-source.ts'
import { DatabaseFailure } from './failure.ts'
import type { Parts } from './parts.ts'
import { digestIn } from './rows.ts'
import { tables } from './schema.ts'
import { blobKey, linkKey, revisionKey, tagKey } from './touched.ts'

export type SourceTag = { readonly tag: Tag; readonly digest: Digest; readonly at: number }
/** A buffer arrives from another thread as an array of bytes. */
export type SourceManifest = { readonly digest: Digest; readonly bytes: Uint8Array }
export type Subject = { readonly digest: Digest; readonly subject: Digest }

/** How long activity of what is gone is remembered, in case it is restored: 90 days. */
const activityLife = 90 * 24 * 3_600_000

/**
 * Compares the database with the volume, while changes are applied:
 *
 * 1. `begin` numbers the verification. From now on changes mark the rows that they write with the
 *    number, and remember the keys of all that they touch.
 * 2. What is found on the volume is written with the number, except what was touched: it was read at
 *    some earlier time, so the change is newer.
 * 3. `finish` deletes rows with older numbers: neither the volume nor a change has them.
 */
export function createVerification(parts: Parts) {
  const { database, contents, repositories, touched, ids, pass, activity } = parts
  const { prepare, transaction } = database

  const found = <Entry>(
    entries: readonly Entry[],
    keyOf: (entry: Entry) => string,
    put: (entry: Entry) => void,
  ): void =>
    transaction(() => {
      assertComplete()
      for (const entry of entries) if (!touched.has(keyOf(entry))) put(entry)
    })

  const assertComplete = (): void => {
    if (!touched.isComplete())
      throw new DatabaseFailure('unavailable', 'too many changes during the verification')
  }

  return {
    begin: (): void => {
      touched.begin()
      transaction(() => database.setFact('pass', pass() + 1))
    },

    /** Names of the tables that `checkTable` must check. */
    tables: (): readonly string[] => tables,
    checkTable: (table: string): void => database.check(table),

    foundBlobs: (blobs: readonly SourceBlob[]): void =>
      found(
        blobs,
        ({ digest }) => blobKey(digest),
        ({ modified, ...blob }) => repositories.putBlob({ ...blob, at: modified }, pass()),
      ),

    foundLinks: (name: RepositoryName, digests: readonly Digest[]): void =>
      found(
        digests,
        (digest) => linkKey(name, digest),
        (digest) => repositories.putLink(name, digest, pass()),
      ),

    /** Returns the manifests whose bytes `addManifests` needs. */
    foundManifests: (name: RepositoryName, digests: readonly Digest[]): readonly Digest[] => {
      found(
        digests,
        (digest) => revisionKey(name, digest),
        (digest) => repositories.putRevision(name, digest, pass()),
      )
      return digests.filter((digest) => !contents.has(ids.ofDigest(digest)))
    },

    addManifests: (manifests: readonly SourceManifest[]): void =>
      transaction(() => {
        for (const { digest, bytes } of manifests) {
          const manifest = parse(Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength))
          if (manifest !== undefined) contents.add({ digest, size: bytes.byteLength, manifest })
        }
      }),

    foundTags: (name: RepositoryName, tags: readonly SourceTag[]): void =>
      found(
        tags,
        ({ tag }) => tagKey(name, tag),
        (tag) => repositories.putTag({ name, ...tag }, pass()),
      ),

    /** Manifests of a repository that have a subject. */
    subjects: (name: RepositoryName): readonly Subject[] =>
      prepare(`
        SELECT own.digest AS digest, subject.digest AS subject
        FROM repositories
        JOIN revisions ON revisions.repository = repositories.id
        JOIN manifests ON manifests.manifest = revisions.digest
        JOIN digests AS own ON own.id = manifests.manifest
        JOIN digests AS subject ON subject.id = manifests.subject
        WHERE repositories.name = ?`)
        .all(name)
        .map((row) => ({ digest: digestIn(row, 'digest'), subject: digestIn(row, 'subject') })),

    finish: (): void => {
      transaction(() => {
        assertComplete()
        for (const sql of sweeps) prepare(sql).run({ pass: pass() })
        for (const sql of leftovers) prepare(sql).run()
        activity.prune(Date.now() - activityLife)
        for (const sql of orphans) prepare(sql).run()
        database.setFact('complete', 1)
      })
      touched.end()
    },
  }
}

/** Undefined: its blob is not a manifest, so nobody can pull it. */
function parse(bytes: Buffer): ManifestDetails | undefined {
  try {
    return parseManifestDetails(bytes)
  } catch (error) {
    if (isRegistryError(error, 'MANIFEST_INVALID')) return undefined
    throw error
  }
}

const sweeps = [
  'UPDATE digests SET size = NULL, modified = NULL WHERE seen < :pass AND size IS NOT NULL',
  'DELETE FROM links WHERE seen < :pass',
  'DELETE FROM revisions WHERE seen < :pass',
  'DELETE FROM tags WHERE seen < :pass',
]

const leftovers = [
  'DELETE FROM manifests WHERE manifest NOT IN (SELECT digest FROM revisions)',
  'DELETE FROM contents WHERE manifest NOT IN (SELECT manifest FROM manifests)',
  'DELETE FROM configs WHERE digest NOT IN (SELECT config FROM manifests WHERE config IS NOT NULL)',
  `UPDATE links SET used = 1 WHERE used = 0 AND EXISTS (
     SELECT 1 FROM contents JOIN revisions ON revisions.digest = contents.manifest
     WHERE contents.digest = links.digest AND revisions.repository = links.repository)`,
]

const orphans = [
  `DELETE FROM digests WHERE size IS NULL AND id NOT IN (
     SELECT digest FROM contents
     UNION ALL SELECT digest FROM revisions
     UNION ALL SELECT digest FROM links
     UNION ALL SELECT digest FROM tags
     UNION ALL SELECT digest FROM activity
     UNION ALL SELECT subject FROM manifests WHERE subject IS NOT NULL)`,
  `DELETE FROM repositories WHERE id NOT IN (
     SELECT repository FROM revisions
     UNION ALL SELECT repository FROM links
     UNION ALL SELECT repository FROM tags
     UNION ALL SELECT repository FROM activity
     UNION ALL SELECT repository FROM tag_activity)`,
]
