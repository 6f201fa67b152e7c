import { readFileSync } from 'node:fs'

/** Files that are open without a client, and those of uploads and downloads under way. */
const ownFiles = 64
/** Of a client: its socket, the file of a blob and a duplicate of the socket; a part of a connection above the limit. */
const filesPerConnection = 4
/** One eighth of the files is for connections above the limit, of each listener. */
const surplusPart = 8
const minConnections = 4

/** How many files this process may have open; undefined where the system does not say. Node has raised it to the hard limit. */
export function maxOpenFiles(): number | undefined {
  try {
    const limit = /^Max open files +(\d+)/m.exec(readFileSync('/proc/self/limits', 'utf8'))?.[1]
    return limit === undefined ? undefined : Number(limit)
  } catch {
    return undefined
  }
}

/**
 * How many connections `listeners` services may have each, at most `configured`.
 *
 * The danger: without a free file descriptor no connection is accepted, those of probes neither, so that clients that do
 * nothing but connect would have the process restarted.
 */
export function connectionsWithin(
  openFiles: number | undefined,
  { configured, listeners }: { readonly configured: number; readonly listeners: number },
): number {
  if (openFiles === undefined) return configured
  const possible = (openFiles - ownFiles) / filesPerConnection / listeners
  return Math.min(configured, Math.max(Math.floor(possible), minConnections))
}

/** How many connections above the limit of a listener may wait for their rejection, at most `most`. */
export function surplusWithin(openFiles: number | undefined, most: number): number {
  if (openFiles === undefined) return most
  const possible = (openFiles - ownFiles) / surplusPart
  return Math.min(most, Math.max(Math.floor(possible), minConnections))
}
