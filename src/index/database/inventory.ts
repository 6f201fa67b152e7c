import type { Digest } from '../../oci/digest.ts'
import type { Freed, Removal, RepositorySize, Sharing } from '../queries.ts'
import type { DatabaseFile } from './database-file.ts'
import { digestIn, nameIn, numberIn } from './rows.ts'

/** What each repository has: its manifests, and what they reference. */
const used = `used AS (
  SELECT repository, digest FROM revisions
  UNION
  SELECT revisions.repository, contents.digest FROM revisions
    JOIN contents ON contents.manifest = revisions.digest)`

/** Ids of the digests in a JSON list. */
const idsOf = (list: string) =>
  `(SELECT id FROM digests WHERE digest IN (SELECT value FROM json_each(${list})))`

/** Who has which bytes. */
export function createInventory({ prepare }: DatabaseFile) {
  return {
    /** Reads the whole database. */
    repositorySizes: (): readonly RepositorySize[] =>
      prepare(`
        WITH ${used},
        counted AS (
          SELECT repository, digest, count(*) OVER (PARTITION BY digest) AS repositories FROM used)
        SELECT name, total(size) AS size, total(iif(repositories = 1, size, 0)) AS own
        FROM counted
        JOIN digests ON digests.id = counted.digest
        JOIN repositories ON repositories.id = counted.repository
        GROUP BY counted.repository ORDER BY name`)
        .all()
        .map((row) => ({
          name: nameIn(row),
          size: numberIn(row, 'size'),
          ownSize: numberIn(row, 'own'),
        })),

    sharing: (digests: readonly Digest[]): readonly Sharing[] =>
      prepare(`
        SELECT shared.digest AS digest, name, count(*) AS manifests
        FROM digests AS shared
        JOIN contents ON contents.digest = shared.id
        JOIN revisions ON revisions.digest = contents.manifest
        JOIN repositories ON repositories.id = revisions.repository
        WHERE shared.digest IN (SELECT value FROM json_each(?))
        GROUP BY shared.id, revisions.repository`)
        .all(JSON.stringify(digests))
        .map((row) => ({
          digest: digestIn(row, 'digest'),
          name: nameIn(row),
          manifests: numberIn(row, 'manifests'),
        })),

    freed: ({ name, manifests }: Removal): Freed => {
      const row = prepare(`
        WITH gone AS (SELECT id FROM ${idsOf(':manifests')}),
        repository AS (SELECT id FROM repositories WHERE name = :name),
        candidates AS (
          SELECT id FROM gone
          UNION
          SELECT contents.digest FROM contents WHERE contents.manifest IN gone),
        remaining AS (
          SELECT candidates.id AS id FROM candidates JOIN revisions
            ON revisions.digest = candidates.id
            WHERE NOT (revisions.repository IN repository AND revisions.digest IN gone)
          UNION
          SELECT candidates.id FROM candidates
            JOIN contents ON contents.digest = candidates.id
            JOIN revisions ON revisions.digest = contents.manifest
            WHERE NOT (revisions.repository IN repository AND revisions.digest IN gone))
        SELECT total(size) AS bytes, count(size) AS blobs FROM digests
        WHERE id IN candidates AND id NOT IN remaining`).get({
        name,
        manifests: JSON.stringify(manifests),
      })
      return row === undefined
        ? { bytes: 0, blobs: 0 }
        : { bytes: numberIn(row, 'bytes'), blobs: numberIn(row, 'blobs') }
    },

    /** Of the digests, those of which the volume has the bytes. */
    storedOf: (digests: readonly Digest[]): readonly Digest[] =>
      prepare(`
        SELECT digest FROM digests
        WHERE size IS NOT NULL AND digest IN (SELECT value FROM json_each(?))`)
        .all(JSON.stringify(digests))
        .map((row) => digestIn(row, 'digest')),
  }
}
