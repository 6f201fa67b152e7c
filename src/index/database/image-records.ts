import type { Digest } from '../../oci/digest.ts'
import type { RepositoryName } from '../../oci/reference.ts'
import type { ImageRecord, ImageTag, TagRecord, TagRecords, TagsPart } from '../queries.ts'
import type { DatabaseFile } from './database-file.ts'
import {
  digestIn,
  numberIn,
  optionalDigestIn,
  optionalNumberIn,
  optionalTextIn,
  type Row,
  tagIn,
  textIn,
} from './rows.ts'

/** Bytes of a manifest and of all that it references, of an index's children as well. */
const imageSize = `(ifnull(manifests.size, 0) + CASE manifests.is_index WHEN 1 THEN (
  SELECT ifnull(sum(child.size - contents.size), 0) FROM contents
  JOIN manifests AS child ON child.manifest = contents.digest
  WHERE contents.manifest = manifests.manifest) ELSE 0 END)`

/** Platforms of an index's children, or of an image's config. */
const platforms = `CASE manifests.is_index WHEN 1 THEN (
  SELECT group_concat(DISTINCT platform ORDER BY platform) FROM contents
  WHERE contents.manifest = manifests.manifest AND platform <> 'unknown/unknown')
ELSE (SELECT platform FROM configs WHERE configs.digest = manifests.config) END`

/** What an image, an index, and the children of an index that are there, lack. */
const missing = `(
  SELECT count(*) FROM contents JOIN digests ON digests.id = contents.digest
  WHERE contents.manifest = tags.digest AND contents.role <> 'foreign' AND digests.size IS NULL)
+ CASE manifests.is_index WHEN 1 THEN (
  SELECT count(*) FROM contents AS child
  JOIN contents AS below ON below.manifest = child.digest AND below.role <> 'foreign'
  JOIN digests ON digests.id = below.digest
  WHERE child.manifest = tags.digest AND digests.size IS NULL) ELSE 0 END`

type Asked = { readonly name: RepositoryName; readonly digest: Digest | null }

/** Records of manifests and tags. `since`: everything of before counts as pulled then. */
export function createImageRecords({ prepare }: DatabaseFile, since: number) {
  /** `:digest`: of one manifest; of all if it is null. */
  const isAsked = (column: string) => `(:digest IS NULL OR ${column} = :digest)`

  const tagsByDigest = (asked: Asked): ReadonlyMap<string, readonly ImageTag[]> => {
    const rows = prepare(`
      SELECT tags.tag AS tag, digests.digest AS digest, at, pulled_at
      FROM repositories
      JOIN tags ON tags.repository = repositories.id
      JOIN digests ON digests.id = tags.digest
      LEFT JOIN tag_activity
        ON tag_activity.repository = tags.repository AND tag_activity.tag = tags.tag
      WHERE name = :name AND ${isAsked('digests.digest')} ORDER BY tags.tag`).all(asked)
    return groupBy(rows, (row) => {
      const at = numberIn(row, 'at')
      return { tag: tagIn(row), at, pulledAt: pulledAt(row, at) }
    })
  }

  const related = (asked: Asked, of: 'manifest' | 'digest') => {
    const other = of === 'manifest' ? 'digest' : 'manifest'
    const rows = prepare(`
      SELECT own.digest AS digest, other.digest AS other
      FROM repositories
      JOIN revisions ON revisions.repository = repositories.id
      JOIN contents ON contents.manifest = revisions.digest AND contents.role = 'child'
      JOIN digests AS own ON own.id = contents.${of}
      JOIN digests AS other ON other.id = contents.${other}
      WHERE name = :name AND ${isAsked('own.digest')} ORDER BY other.digest`).all(asked)
    return groupBy(rows, (row) => digestIn(row, 'other'))
  }

  const pulledAt = (row: Row, existsSince: number): number | undefined => {
    const recorded = optionalNumberIn(row, 'pulled_at')
    return existsSince < since ? Math.max(since, recorded ?? since) : recorded
  }

  const records = (asked: Asked): readonly ImageRecord[] => {
    const tags = tagsByDigest(asked)
    const [children, parents] = [related(asked, 'manifest'), related(asked, 'digest')]
    return prepare(`
      SELECT own.digest AS digest, own.modified AS modified, media_type, artifact_type,
        subject.digest AS subject, ${imageSize} AS size, expires_after,
        pulled_at, pushed_at, pushed_by, pinned_at
      FROM repositories
      JOIN revisions ON revisions.repository = repositories.id
      JOIN digests AS own ON own.id = revisions.digest
      LEFT JOIN manifests ON manifests.manifest = revisions.digest
      LEFT JOIN digests AS subject ON subject.id = manifests.subject
      LEFT JOIN configs ON configs.digest = manifests.config
      LEFT JOIN activity ON activity.repository = revisions.repository
        AND activity.digest = revisions.digest
      WHERE name = :name AND ${isAsked('own.digest')} ORDER BY own.digest`)
      .all(asked)
      .map((row) => {
        const digest = digestIn(row, 'digest')
        const pushedAt =
          optionalNumberIn(row, 'pushed_at') ?? optionalNumberIn(row, 'modified') ?? since
        return {
          digest,
          tags: tags.get(digest) ?? [],
          mediaType: optionalTextIn(row, 'media_type') ?? '',
          artifactType: optionalTextIn(row, 'artifact_type'),
          subject: optionalDigestIn(row, 'subject'),
          parents: parents.get(digest) ?? [],
          children: children.get(digest) ?? [],
          size: numberIn(row, 'size'),
          pushedAt,
          pushedBy: optionalTextIn(row, 'pushed_by'),
          pulledAt: pulledAt(row, pushedAt),
          pinned: optionalNumberIn(row, 'pinned_at') !== undefined,
          expiresAfter: optionalTextIn(row, 'expires_after'),
        }
      })
  }

  const tagRecords = (name: RepositoryName, part: TagsPart): TagRecords => {
    const { order, descending, search, offset, limit } = part
    const rows = prepare(`
      SELECT tags.tag AS tag, own.digest AS digest, at, media_type, artifact_type,
        ${imageSize} AS size, ${platforms} AS platforms,
        ${missing} AS missing, tag_activity.pulled_at AS pulled_at, pushed_by, pinned_at
      FROM repositories
      JOIN tags ON tags.repository = repositories.id
      JOIN digests AS own ON own.id = tags.digest
      LEFT JOIN manifests ON manifests.manifest = tags.digest
      LEFT JOIN activity ON activity.repository = tags.repository
        AND activity.digest = tags.digest
      LEFT JOIN tag_activity ON tag_activity.repository = tags.repository
        AND tag_activity.tag = tags.tag
      WHERE name = :name AND instr(lower(tags.tag), lower(:search)) > 0
      ORDER BY ${orders[order][descending ? 'descending' : 'ascending']}
      LIMIT :limit OFFSET :offset`).all({ name, search, offset, limit })
    return { total: countTags(name, search), records: rows.map((row) => tagRecord(row)) }
  }

  const countTags = (name: RepositoryName, search: string): number => {
    const row = prepare(`
      SELECT count(*) AS total FROM repositories JOIN tags ON tags.repository = repositories.id
      WHERE name = ? AND instr(lower(tags.tag), lower(?)) > 0`).get(name, search)
    return row === undefined ? 0 : numberIn(row, 'total')
  }

  const tagRecord = (row: Row): TagRecord => {
    const at = numberIn(row, 'at')
    return {
      tag: tagIn(row),
      digest: digestIn(row, 'digest'),
      at,
      size: numberIn(row, 'size'),
      mediaType: optionalTextIn(row, 'media_type') ?? '',
      artifactType: optionalTextIn(row, 'artifact_type'),
      platforms: optionalTextIn(row, 'platforms')?.split(',') ?? [],
      pulledAt: pulledAt(row, at),
      pushedBy: optionalTextIn(row, 'pushed_by'),
      pinned: optionalNumberIn(row, 'pinned_at') !== undefined,
      missing: numberIn(row, 'missing'),
    }
  }

  return {
    images: (name: RepositoryName) => records({ name, digest: null }),
    image: (name: RepositoryName, digest: Digest) => records({ name, digest })[0],
    tagRecords,
  }
}

const orders = {
  name: {
    ascending: 'natural, tags.tag',
    descending: 'natural DESC, tags.tag DESC',
  },
  date: { ascending: 'at, natural, tags.tag', descending: 'at DESC, natural, tags.tag' },
  size: { ascending: 'size, natural, tags.tag', descending: 'size DESC, natural, tags.tag' },
} as const

function groupBy<Value>(
  rows: readonly Row[],
  toValue: (row: Row) => Value,
): ReadonlyMap<string, readonly Value[]> {
  const groups = new Map<string, Value[]>()
  for (const row of rows) {
    const key = textIn(row, 'digest')
    const group = groups.get(key)
    if (group === undefined) groups.set(key, [toValue(row)])
    else group.push(toValue(row))
  }
  return groups
}
