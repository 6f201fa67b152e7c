import type { Digest } from '../../oci/digest.ts'
import type { RepositoryName, Tag } from '../../oci/reference.ts'
import type { DatabaseFile } from './database-file.ts'
import type { Ids } from './ids.ts'

/** What people did, which the layout of the volume cannot tell; `at`: milliseconds since the epoch. */
export type Event =
  | TagPull
  | {
      readonly kind: 'pulled'
      readonly name: RepositoryName
      readonly digest: Digest
      readonly at: number
    }
  | {
      readonly kind: 'pushed' | 'pinned'
      readonly name: RepositoryName
      readonly digest: Digest
      readonly at: number
      readonly by?: string | undefined
    }
  | { readonly kind: 'unpinned'; readonly name: RepositoryName; readonly digest: Digest }

type TagPull = {
  readonly kind: 'tag-pulled'
  readonly name: RepositoryName
  readonly tag: Tag
  readonly at: number
}
type DigestEvent = Exclude<Event, TagPull>

/** Pulls of the same within so many milliseconds are one. */
const pullInterval = 60_000

export type Activity = ReturnType<typeof createActivity>

/** Records events. They may come twice, and in any order. */
export function createActivity({ prepare }: DatabaseFile, ids: Ids) {
  const keyOf = ({ name, digest }: DigestEvent): readonly [number, number] => [
    ids.ofName(name),
    ids.ofDigest(digest),
  ]

  const recordTagPull = ({ name, tag, at }: TagPull): boolean =>
    hasChanged(
      prepare(`
        INSERT INTO tag_activity (repository, tag, pulled_at) VALUES (?, ?, ?)
        ON CONFLICT DO UPDATE SET pulled_at = excluded.pulled_at
          WHERE excluded.pulled_at >= pulled_at + ${pullInterval}`).run(
        ids.ofName(name),
        tag,
        Math.trunc(at),
      ),
    )

  const recordPull = (event: DigestEvent, at: number): boolean =>
    hasChanged(
      prepare(`
        INSERT INTO activity (repository, digest, pulled_at) VALUES (?, ?, ?)
        ON CONFLICT DO UPDATE SET pulled_at = excluded.pulled_at
          WHERE pulled_at IS NULL OR excluded.pulled_at >= pulled_at + ${pullInterval}`).run(
        ...keyOf(event),
        Math.trunc(at),
      ),
    )

  return {
    /** False: it says nothing new. */
    record: (event: Event): boolean => {
      switch (event.kind) {
        case 'tag-pulled':
          return recordTagPull(event)
        case 'pulled':
          return recordPull(event, event.at)
        case 'pushed':
        case 'pinned':
          prepare(upserts[event.kind]).run(...keyOf(event), Math.trunc(event.at), event.by ?? null)
          return true
        case 'unpinned':
          prepare(`UPDATE activity SET pinned_at = NULL, pinned_by = NULL
            WHERE repository = ? AND digest = ?`).run(...keyOf(event))
          return true
      }
    },

    /** Forgets what is about manifests and tags that are gone, and that happened before a time. */
    prune: (before: number): void => {
      prepare(`
        DELETE FROM activity
        WHERE max(ifnull(pulled_at, 0), ifnull(pushed_at, 0), ifnull(pinned_at, 0)) < ?
          AND NOT EXISTS (SELECT 1 FROM revisions WHERE revisions.repository = activity.repository
            AND revisions.digest = activity.digest)`).run(before)
      prepare(`
        DELETE FROM tag_activity WHERE pulled_at < ? AND NOT EXISTS (SELECT 1 FROM tags
          WHERE tags.repository = tag_activity.repository AND tags.tag = tag_activity.tag)`).run(
        before,
      )
    },
  }
}

function hasChanged({ changes }: { readonly changes: number | bigint }): boolean {
  return Number(changes) > 0
}

const upserts = {
  pushed: `
    INSERT INTO activity (repository, digest, pushed_at, pushed_by) VALUES (?, ?, ?, ?)
    ON CONFLICT DO UPDATE SET pushed_at = excluded.pushed_at, pushed_by = excluded.pushed_by
      WHERE pushed_at IS NULL OR excluded.pushed_at >= pushed_at`,
  pinned: `
    INSERT INTO activity (repository, digest, pinned_at, pinned_by) VALUES (?, ?, ?, ?)
    ON CONFLICT DO UPDATE SET pinned_at = excluded.pinned_at, pinned_by = excluded.pinned_by`,
} as const
