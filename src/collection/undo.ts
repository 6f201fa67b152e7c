import type { Digest } from '../oci/digest.ts'
import type { RunId, TrashEntry } from '../store/store.ts'
import type { CollectionParts } from './collection-parts.ts'
import { revive } from './revival.ts'
import type { End, Report } from './step.ts'

/**
 * Restores what a run removed. A manifest that comes back may need what later runs removed: that is
 * restored as well.
 */
export async function undoRun(
  parts: CollectionParts,
  { run, report }: { readonly run: RunId; readonly report: Report },
): Promise<End> {
  const { store } = parts
  const entries: TrashEntry[] = []
  for await (const entry of store.trash.entries(run)) entries.push(entry)
  if (entries.length === 0)
    return { step: 'end', outcome: 'failed', reason: `the trash has no run ${run}` }
  const { restored } = await store.trash.undo(run)
  for (const entry of entries)
    for (const digest of await followUp(parts, entry)) report({ step: 'missing', digest })
  return { step: 'end', outcome: 'done', restored }
}

/** Tells the index, and restores what the entry needs. Returns what cannot be restored. */
async function followUp(parts: CollectionParts, entry: TrashEntry): Promise<readonly Digest[]> {
  const { store, index, now } = parts
  switch (entry.kind) {
    case 'blob':
      index.apply([{ kind: 'blob', digest: entry.digest, size: entry.size, at: now() }])
      return []
    case 'layer':
      index.apply([{ kind: 'link', name: entry.name, digest: entry.digest }])
      return []
    case 'manifest':
      return (await revive(parts, entry)).missing
    case 'referrer':
      return []
    case 'tag': {
      const { name, tag } = entry
      const link = await store.links.tag(name, tag)
      if (link === undefined) return []
      const { digest, age } = link
      index.apply([{ kind: 'tag', name, tag, digest, at: now() - age }])
      const isThere = await store.links.hasManifest(name, digest)
      return isThere ? [] : (await revive(parts, { name, digest })).missing
    }
  }
}
