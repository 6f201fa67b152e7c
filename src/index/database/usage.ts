import type { RepositoryName } from '../../oci/reference.ts'
import type { TaggedUsage, TaggedUsageOf, Usage, UsagePart } from '../queries.ts'
import type { DatabaseFile } from './database-file.ts'
import { digestIn, numberIn, type Row, tagIn, textIn } from './rows.ts'

/** Of a table `counted` of parts and what they have: the bytes of each part, and of all. */
const sums = `
  total(size) AS "unique",
  total(iif(parts = 1 AND NOT elsewhere, size, 0)) AS own,
  total(iif(nth = 1, size, 0)) AS first,
  total(iif(nth = 1 AND NOT elsewhere, size, 0)) AS first_own
  FROM counted JOIN digests ON digests.id = counted.digest`

/** Who has which bytes, and what a removal of it frees. */
export function createUsage({ prepare }: DatabaseFile) {
  return {
    /** Reads the whole database. */
    usage: (parts: readonly (readonly [RepositoryName, string])[]): Usage => {
      const rows = prepare(`
        WITH named AS (
          SELECT repositories.id AS repository, value ->> 1 AS part
          FROM json_each(?) JOIN repositories ON repositories.name = value ->> 0),
        used AS (
          SELECT part, revisions.digest AS digest FROM revisions JOIN named USING (repository)
          UNION
          SELECT part, contents.digest FROM revisions JOIN named USING (repository)
            JOIN contents ON contents.manifest = revisions.digest),
        spread AS (
          SELECT part, digest, count(*) OVER each AS parts, min(part) OVER each = '' AS elsewhere,
            row_number() OVER (PARTITION BY digest ORDER BY part DESC) AS nth
          FROM used WINDOW each AS (PARTITION BY digest)),
        counted AS (SELECT * FROM spread WHERE part <> '')
        SELECT part, ${sums} GROUP BY part`).all(JSON.stringify(parts))
      return usageIn(rows, (row) => ({ part: textIn(row, 'part') }))
    },

    taggedUsage: ({ name, others }: TaggedUsageOf): TaggedUsage => {
      const rows = prepare(`
        WITH RECURSIVE
        repository AS (SELECT id FROM repositories WHERE name = :name),
        others AS (
          SELECT id FROM repositories WHERE name IN (SELECT value FROM json_each(:others))),
        revision AS MATERIALIZED (
          SELECT digest FROM revisions WHERE repository IN repository),
        roots AS MATERIALIZED (SELECT DISTINCT digest FROM tags WHERE repository IN repository),
        -- What a removal of a tagged manifest removes: its children, and untagged referrers.
        reached(root, manifest) AS (
          SELECT digest, digest FROM roots
          UNION
          SELECT root, contents.digest FROM reached
            JOIN contents ON contents.manifest = reached.manifest AND contents.role = 'child'
            WHERE contents.digest IN revision
          UNION
          SELECT root, manifests.manifest FROM reached
            JOIN manifests ON manifests.subject = reached.manifest
            WHERE manifests.manifest IN revision AND manifests.manifest NOT IN roots),
        placed AS MATERIALIZED (
          SELECT root, manifest FROM reached
          UNION
          SELECT 0, digest FROM revision WHERE digest NOT IN (SELECT manifest FROM reached)),
        used AS MATERIALIZED (
          SELECT root, manifest AS digest FROM placed
          UNION
          SELECT root, contents.digest FROM placed
            JOIN contents ON contents.manifest = placed.manifest),
        each AS MATERIALIZED (SELECT DISTINCT digest FROM used),
        shared AS MATERIALIZED (
          SELECT each.digest FROM each JOIN revisions ON revisions.digest = each.digest
            WHERE revisions.repository IN others
          UNION
          SELECT each.digest FROM each JOIN contents ON contents.digest = each.digest
            JOIN revisions ON revisions.digest = contents.manifest
            WHERE revisions.repository IN others),
        counted AS (
          SELECT root, digest, count(*) OVER one AS parts, digest IN shared AS elsewhere,
            row_number() OVER one AS nth
          FROM used WINDOW one AS (
            PARTITION BY digest ORDER BY root ROWS BETWEEN UNBOUNDED PRECEDING AND UNBOUNDED FOLLOWING))
        SELECT (SELECT digest FROM digests WHERE id = root) AS manifest,
          (SELECT json_group_array(tag) FROM tags
            WHERE tags.repository IN repository AND tags.digest = root) AS tags,
          ${sums} GROUP BY root`).all({ name, others: JSON.stringify(others) })
      return usageIn(rows, (row) => ({
        digest: row['manifest'] === null ? undefined : digestIn(row, 'manifest'),
        tags: (JSON.parse(textIn(row, 'tags')) as readonly string[]).map((tag) => tagIn({ tag })),
      }))
    },
  }
}

function usageIn<Part>(rows: readonly Row[], partIn: (row: Row) => Part) {
  const sum = (column: string) => rows.reduce((all, row) => all + numberIn(row, column), 0)
  const parts = rows.map((row): Part & Omit<UsagePart, 'part'> => ({
    ...partIn(row),
    unique: numberIn(row, 'unique'),
    own: numberIn(row, 'own'),
  }))
  return { unique: sum('first'), own: sum('first_own'), parts }
}
