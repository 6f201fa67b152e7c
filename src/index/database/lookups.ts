import type { Digest } from '../../oci/digest.ts'
import type { Page, PageRequest } from '../../oci/page.ts'
import type { RepositoryName, Tag } from '../../oci/reference.ts'
import type {
  BlobLink,
  Bytes,
  Found,
  Reference,
  RepositoriesPart,
  RepositoryRecord,
  Totals,
  UnreferencedBlob,
} from '../queries.ts'
import type { DatabaseFile } from './database-file.ts'
import { isBelow } from './names-below.ts'
import {
  digestIn,
  nameIn,
  numberIn,
  optionalNumberIn,
  optionalTextIn,
  tagIn,
  textIn,
} from './rows.ts'

const noLimit = -1

/** Answers of one or two statements. */
export function createLookups({ prepare }: DatabaseFile) {
  return {
    repositories: ({
      n,
      last = '',
      prefix = '',
    }: PageRequest & { readonly prefix?: string | undefined }): Page<RepositoryName> =>
      pageOf(
        prepare(`
          SELECT name FROM repositories WHERE name > :last AND ${isBelow('name')}
            AND EXISTS (SELECT 1 FROM revisions WHERE repository = repositories.id)
          ORDER BY name LIMIT :limit`)
          .all({ last, prefix, limit: n === undefined ? noLimit : n + 1 })
          .map((row) => nameIn(row)),
        n,
      ),

    tags: (name: RepositoryName, { n, last = '' }: PageRequest): Page<Tag> =>
      pageOf(
        prepare(`
          SELECT tag FROM tags
          WHERE repository = (SELECT id FROM repositories WHERE name = ?) AND tag > ?
          ORDER BY tag LIMIT ?`)
          .all(name, last, n === undefined ? noLimit : n + 1)
          .map((row) => tagIn(row)),
        n,
      ),

    tagsOf: (name: RepositoryName, digest: Digest): readonly Tag[] =>
      prepare(`
        SELECT tag FROM tags
        WHERE repository = (SELECT id FROM repositories WHERE name = ?)
          AND digest = (SELECT id FROM digests WHERE digest = ?)
        ORDER BY tag`)
        .all(name, digest)
        .map((row) => tagIn(row)),

    referencedBy: (digest: Digest): readonly Reference[] =>
      prepare(`
        SELECT name, manifest.digest AS manifest
        FROM contents
        JOIN revisions ON revisions.digest = contents.manifest
        JOIN repositories ON repositories.id = revisions.repository
        JOIN digests AS manifest ON manifest.id = contents.manifest
        WHERE contents.digest = (SELECT id FROM digests WHERE digest = ?)
        ORDER BY name, manifest.digest`)
        .all(digest)
        .map((row) => ({ name: nameIn(row), manifest: digestIn(row, 'manifest') })),

    referrers: (name: RepositoryName, subject: Digest): readonly Digest[] =>
      prepare(`
        SELECT own.digest AS digest FROM manifests
        JOIN revisions ON revisions.digest = manifests.manifest
        JOIN digests AS own ON own.id = manifests.manifest
        WHERE manifests.subject = (SELECT id FROM digests WHERE digest = ?)
          AND revisions.repository = (SELECT id FROM repositories WHERE name = ?)
        ORDER BY own.digest`)
        .all(subject, name)
        .map((row) => digestIn(row, 'digest')),

    linkedIn: (digest: Digest): readonly RepositoryName[] =>
      prepare(`
        SELECT name FROM links JOIN repositories ON repositories.id = links.repository
        WHERE links.digest = (SELECT id FROM digests WHERE digest = ?) ORDER BY name`)
        .all(digest)
        .map((row) => nameIn(row)),

    // A scan in the order of ids (the plus signs) takes a fiftieth of one in the order of digests.
    unreferenced: (after: Digest | undefined, limit: number): readonly UnreferencedBlob[] =>
      prepare(`
        SELECT digest, size, (
            SELECT group_concat(name, ' ' ORDER BY name) FROM links
            JOIN repositories ON repositories.id = links.repository
            WHERE links.digest = digests.id) AS names
        FROM digests
        WHERE +digest > ? AND size IS NOT NULL
          AND NOT EXISTS (SELECT 1 FROM contents WHERE contents.digest = digests.id)
          AND NOT EXISTS (SELECT 1 FROM revisions WHERE revisions.digest = digests.id)
        ORDER BY +digest LIMIT ?`)
        .all(after ?? '', limit)
        .map((row) => ({
          digest: digestIn(row, 'digest'),
          size: numberIn(row, 'size'),
          names: (optionalTextIn(row, 'names')?.split(' ') ?? []).map((name) => nameIn({ name })),
        })),

    unreferencedLinks: (after: BlobLink | undefined, limit: number): readonly BlobLink[] =>
      prepare(`
        SELECT name, digests.digest AS digest
        FROM repositories
        JOIN links ON links.repository = repositories.id
        JOIN digests ON digests.id = links.digest
        WHERE (name, digests.digest) > (?, ?)
          AND NOT EXISTS (SELECT 1 FROM contents
            JOIN revisions ON revisions.digest = contents.manifest
            WHERE contents.digest = links.digest AND revisions.repository = links.repository)
        ORDER BY name, digests.digest LIMIT ?`)
        .all(after?.name ?? '', after?.digest ?? '', limit)
        .map((row) => ({ name: nameIn(row), digest: digestIn(row, 'digest') })),

    bytes: (prefix: string): Bytes => {
      const row = prepare(`
        WITH below AS (SELECT id FROM repositories WHERE ${isBelow('name')}),
        counted AS (
          SELECT repository, digest FROM revisions WHERE repository IN below
          UNION
          SELECT repository, contents.digest FROM revisions
            JOIN contents ON contents.manifest = revisions.digest WHERE repository IN below
          UNION
          SELECT repository, digest FROM links WHERE used = 0 AND repository IN below),
        sizes AS (
          SELECT size, count(*) AS uses FROM counted JOIN digests ON digests.id = counted.digest
          GROUP BY counted.digest)
        SELECT total(size) AS "unique", total(size * uses) AS total FROM sizes`).get({ prefix })
      return row === undefined
        ? { unique: 0, total: 0 }
        : { unique: numberIn(row, 'unique'), total: numberIn(row, 'total') }
    },

    totals: (): Totals => {
      const row = prepare(`
        SELECT count(*) AS blobs, total(size) AS bytes,
          (SELECT count(*) FROM revisions) AS manifests,
          (SELECT count(*) FROM tags) AS tags,
          (SELECT count(DISTINCT repository) FROM revisions) AS repositories
        FROM digests WHERE size IS NOT NULL`).get()
      const countOf = (column: string) => (row === undefined ? 0 : numberIn(row, column))
      return {
        blobs: countOf('blobs'),
        bytes: countOf('bytes'),
        manifests: countOf('manifests'),
        tags: countOf('tags'),
        repositories: countOf('repositories'),
      }
    },

    search: (text: string, limit: number): readonly Found[] =>
      prepare(`
        SELECT name, '' AS tag FROM repositories
        WHERE instr(name, lower(:text)) > 0
          AND EXISTS (SELECT 1 FROM revisions WHERE repository = repositories.id)
        UNION ALL
        SELECT name, tag FROM tags JOIN repositories ON repositories.id = tags.repository
        WHERE instr(lower(tag), lower(:text)) > 0
        ORDER BY name, tag LIMIT :limit`)
        .all({ text, limit })
        .map((row) => ({
          name: nameIn(row),
          ...(textIn(row, 'tag') !== '' && { tag: tagIn(row) }),
        })),

    repositoryRecords: ({
      prefix,
      search,
      offset,
      limit,
    }: RepositoriesPart): readonly RepositoryRecord[] =>
      prepare(`
        SELECT name,
          (SELECT count(*) FROM tags WHERE tags.repository = repositories.id) AS tags,
          (SELECT count(*) FROM revisions WHERE revisions.repository = repositories.id) AS manifests,
          (SELECT max(at) FROM tags WHERE tags.repository = repositories.id) AS changed_at,
          (SELECT max(pushed_at) FROM activity WHERE repository = repositories.id) AS pushed_at,
          (SELECT max(pulled_at) FROM (
            SELECT pulled_at FROM activity WHERE repository = repositories.id
            UNION ALL
            SELECT pulled_at FROM tag_activity WHERE repository = repositories.id)) AS pulled_at
        FROM repositories
        WHERE ${isBelow('name')} AND instr(name, lower(:search)) > 0
          AND EXISTS (SELECT 1 FROM revisions WHERE repository = repositories.id)
        ORDER BY name LIMIT :limit OFFSET :offset`)
        .all({ prefix, search, offset, limit })
        .map((row) => ({
          name: nameIn(row),
          tags: numberIn(row, 'tags'),
          manifests: numberIn(row, 'manifests'),
          changedAt: optionalNumberIn(row, 'changed_at'),
          pushedAt: optionalNumberIn(row, 'pushed_at'),
          pulledAt: optionalNumberIn(row, 'pulled_at'),
        })),
  }
}

/** `found` has one entry more than `n` if there is a next page. */
function pageOf<Entry extends string>(found: readonly Entry[], n: number | undefined): Page<Entry> {
  const entries = n === undefined ? found : found.slice(0, n)
  const end = entries.at(-1)
  return end === undefined || entries.length === found.length ? { entries } : { entries, next: end }
}
