import type { Change } from '../change.ts'

/** More than that, and the verification must begin anew. */
const maxTouched = 500_000

/** Rows that changes touch while a verification runs: what it has read about them may be outdated. */
export function createTouched() {
  let keys: Set<string> | undefined

  return {
    begin: (): void => {
      keys = new Set()
    },
    end: (): void => {
      keys = undefined
    },
    add: (change: Change): void => {
      const key = keyOf(change)
      if (keys === undefined || key === undefined) return
      keys.add(key)
      if (keys.size > maxTouched) keys = undefined
    },
    has: (key: string): boolean => keys?.has(key) ?? false,
    /** A verification runs, and all changes since its start are known. */
    isComplete: (): boolean => keys !== undefined,
  }
}

export const blobKey = (digest: string): string => `blob ${digest}`
export const linkKey = (name: string, digest: string): string => `link ${name} ${digest}`
export const revisionKey = (name: string, digest: string): string => `revision ${name} ${digest}`
export const tagKey = (name: string, tag: string): string => `tag ${name} ${tag}`

function keyOf(change: Change): string | undefined {
  switch (change.kind) {
    case 'blob':
    case 'blob-removed':
      return blobKey(change.digest)
    case 'link':
    case 'unlink':
      return linkKey(change.name, change.digest)
    case 'manifest':
    case 'manifest-removed':
      return revisionKey(change.name, change.digest)
    case 'tag':
    case 'tag-removed':
      return tagKey(change.name, change.tag)
    case 'pulled':
    case 'pinned':
    case 'unpinned':
      return undefined
  }
}

export type Touched = ReturnType<typeof createTouched>
