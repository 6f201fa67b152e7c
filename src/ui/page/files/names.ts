import type { File } from './use-files.ts'

/** The last part of a path. */
export function baseName(path: string): string {
  return path.slice(path.lastIndexOf('/') + 1)
}

/** The path of the directory that something is in; empty for the root. */
export function parentOf(path: string): string {
  return path.slice(0, Math.max(0, path.lastIndexOf('/')))
}

const letters: Readonly<Record<File['type'], string>> = {
  file: '-',
  directory: 'd',
  symlink: 'l',
  hardlink: 'h',
  char: 'c',
  block: 'b',
  fifo: 'p',
  whiteout: 'w',
  opaque: 'o',
  other: '?',
}

/** Type and permissions, as `ls -l` writes them. */
export function modeOf({ type, mode }: File): string {
  const bits = [...'rwxrwxrwx'].map((letter, at) => (mode & (0o400 >> at) ? letter : '-'))
  for (const [bit, at, letter] of [
    [0o4000, 2, 's'],
    [0o2000, 5, 's'],
    [0o1000, 8, 't'],
  ] as const)
    if (mode & bit) bits[at] = bits[at] === 'x' ? letter : letter.toUpperCase()
  return `${letters[type]}${bits.join('')}`
}

const types: Readonly<Record<File['type'], string>> = {
  file: 'file',
  directory: 'directory',
  symlink: 'symbolic link',
  hardlink: 'hard link',
  char: 'character device',
  block: 'block device',
  fifo: 'FIFO',
  whiteout: 'whiteout',
  opaque: 'whiteout',
  other: 'unknown type',
}

export function typeLabel({ type }: File): string {
  return types[type]
}

/** What layers did to a path: at least that one put it there. */
export function changesOf({ changes, layer }: File): File['changes'] {
  return changes.length > 0 ? changes : [{ layer, change: 'added' }]
}

/** Layers have the numbers that the list of layers shows, from 1. */
export function layerName(layer: number): string {
  return `layer ${layer + 1}`
}
