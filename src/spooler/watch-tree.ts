import { type FSWatcher, watch } from 'node:fs'
import { stateDirectory } from './spool-names.ts'

/** A hint only: events may be lost, and some file systems have none. The scans see everything. */
export function watchTree(root: string, onChange: () => void): FSWatcher | undefined {
  try {
    const watcher = watch(root, { recursive: true }, (_event, name) => {
      if (typeof name !== 'string' || !name.startsWith(stateDirectory)) onChange()
    })
    watcher.on('error', () => watcher.close())
    return watcher
  } catch {
    return undefined
  }
}
