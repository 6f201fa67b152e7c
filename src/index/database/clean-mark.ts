import { closeSync, fsyncSync, openSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { dirname } from 'node:path'

/** Left behind when the database agreed with the volume at the end of a process. */
export type CleanMark = { readonly generation: string; readonly fingerprint: string }

/**
 * Takes the mark away.
 *
 * The danger: after a power loss the file is back, together with the old state of the database,
 * while the volume has changed. So its removal is synced before anything changes.
 */
export function takeCleanMark(path: string): CleanMark | undefined {
  let mark: CleanMark | undefined
  try {
    mark = parse(readFileSync(path, 'utf8'))
  } catch {
    return undefined
  }
  try {
    rmSync(path)
    syncDirectory(dirname(path))
    return mark
  } catch {
    return undefined
  }
}

export function leaveCleanMark(path: string, mark: CleanMark): void {
  try {
    writeFileSync(path, JSON.stringify(mark), { mode: 0o600 })
  } catch {
    // The next start verifies the volume first.
  }
}

function parse(text: string): CleanMark | undefined {
  const { generation, fingerprint }: Readonly<Record<string, unknown>> = JSON.parse(text) ?? {}
  const isMark = typeof generation === 'string' && typeof fingerprint === 'string'
  return isMark ? { generation, fingerprint } : undefined
}

function syncDirectory(path: string): void {
  const directory = openSync(path, 'r')
  try {
    fsyncSync(directory)
  } finally {
    closeSync(directory)
  }
}
