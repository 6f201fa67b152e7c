import type { Event } from './activity.ts'
import type { DatabaseFile } from './database-file.ts'
import {
  digestIn,
  nameIn,
  numberIn,
  optionalNumberIn,
  optionalTextIn,
  type Row,
  tagIn,
} from './rows.ts'

/** All events that the database knows, except those that a later one replaced. */
export function* knownEvents({ prepare }: DatabaseFile): Generator<Event, void, undefined> {
  const activity = prepare(`
    SELECT name, digests.digest AS digest, pulled_at, pushed_at, pushed_by, pinned_at, pinned_by
    FROM activity
    JOIN repositories ON repositories.id = repository
    JOIN digests ON digests.id = activity.digest`)
  for (const row of activity.iterate()) yield* eventsIn(row)
  const tags = prepare(`
    SELECT name, tag, pulled_at FROM tag_activity
    JOIN repositories ON repositories.id = repository`)
  for (const row of tags.iterate())
    yield { kind: 'tag-pulled', name: nameIn(row), tag: tagIn(row), at: numberIn(row, 'pulled_at') }
}

function* eventsIn(row: Row): Generator<Event, void, undefined> {
  const about = { name: nameIn(row), digest: digestIn(row, 'digest') }
  const pulledAt = optionalNumberIn(row, 'pulled_at')
  if (pulledAt !== undefined) yield { kind: 'pulled', ...about, at: pulledAt }
  for (const kind of ['pushed', 'pinned'] as const) {
    const at = optionalNumberIn(row, `${kind}_at`)
    if (at !== undefined) yield { kind, ...about, at, by: optionalTextIn(row, `${kind}_by`) }
  }
}
