import type { Change } from '../change.ts'
import type { Event } from './activity.ts'
import type { Parts } from './parts.ts'

/** Applies changes. Returns the events that the journal must record. */
export function applyChanges(parts: Parts, changes: readonly Change[]): readonly Event[] {
  return changes.flatMap((change) => {
    parts.touched.add(change)
    const event = applyChange(parts, change)
    return event !== undefined && parts.activity.record(event) ? [event] : []
  })
}

function applyChange({ repositories, contents, pass }: Parts, change: Change): Event | undefined {
  const seen = pass()
  switch (change.kind) {
    case 'blob':
      return void repositories.putBlob(change, seen)
    case 'blob-removed':
      return void repositories.removeBlob(change.digest)
    case 'link':
      return void repositories.putLink(change.name, change.digest, seen)
    case 'unlink':
      return void repositories.removeLink(change.name, change.digest)
    case 'manifest': {
      const { name, digest, at, by } = change
      contents.add(change)
      repositories.putRevision(name, digest, seen)
      repositories.useLinks(name, digest)
      return { kind: 'pushed', name, digest, at, by }
    }
    case 'manifest-removed':
      return void repositories.removeRevision(change.name, change.digest)
    case 'tag':
      return void repositories.putTag(change, seen)
    case 'tag-removed':
      return void repositories.removeTag(change.name, change.tag)
    case 'pulled': {
      const { name, digest, tag, at } = change
      return tag === undefined
        ? { kind: 'pulled', name, digest, at }
        : { kind: 'tag-pulled', name, tag, at }
    }
    case 'pinned':
    case 'unpinned':
      return change
  }
}
