import { isDigest } from '../../oci/digest.ts'
import { isRepositoryName, isTag } from '../../oci/reference.ts'
import type { Event } from './activity.ts'

/**
 * The first line of a journal. Nothing is known about pulls before `since`, so everything that was
 * there counts as pulled then. Milliseconds since the epoch.
 */
export function formatHeader(since: number): string {
  return `${JSON.stringify({ kind: 'journal', version: 1, since })}\n`
}

export function formatEvent(event: Event): string {
  return `${JSON.stringify(event)}\n`
}

/** The `since` of a first line; undefined: it is not the first line of a journal. */
export function parseHeader(line: string): number | undefined {
  const { kind, version, since } = parseObject(line) ?? {}
  const isValid = kind === 'journal' && version === 1 && typeof since === 'number'
  return isValid ? since : undefined
}

/** Undefined: the line is damaged. */
export function parseEvent(line: string): Event | undefined {
  const { kind, name, digest, tag, at, by } = parseObject(line) ?? {}
  if (typeof name !== 'string' || !isRepositoryName(name)) return undefined
  const time = typeof at === 'number' && Number.isSafeInteger(Math.trunc(at)) ? at : undefined
  if (kind === 'tag-pulled')
    return time === undefined || typeof tag !== 'string' || !isTag(tag)
      ? undefined
      : { kind, name, tag, at: time }
  if (typeof digest !== 'string' || !isDigest(digest)) return undefined
  if (kind === 'unpinned') return { kind, name, digest }
  if (time === undefined) return undefined
  if (kind === 'pulled') return { kind, name, digest, at: time }
  if (kind !== 'pushed' && kind !== 'pinned') return undefined
  return { kind, name, digest, at: time, ...(typeof by === 'string' && { by }) }
}

function parseObject(line: string): Readonly<Record<string, unknown>> | undefined {
  try {
    const value: unknown = JSON.parse(line)
    return typeof value === 'object' && value !== null
      ? Object.fromEntries(Object.entries(value))
      : undefined
  } catch {
    return undefined
  }
}
