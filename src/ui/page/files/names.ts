import type { File } from './use-files.ts'

/** Control characters, and what changes the direction of text: names must not look like others. */
const hostile =
  // biome-ignore lint/suspicious/noControlCharactersInRegex: those are what is escaped
  /[\u0000-\u001f\u007f-\u009f\u061c\u200b-\u200f\u2028-\u202e\u2060-\u2069\ufeff]/g
const hostileInText =
  // biome-ignore lint/suspicious/noControlCharactersInRegex: those are what is escaped
  /[\u0000-\u0008\u000b\u000c\u000e-\u001f\u007f-\u009f\u061c\u200b-\u200f\u2028-\u202e\u2060-\u2069\ufeff]/g

/** A name with what cannot be seen in it as escapes. */
export function visibleName(name: string): string {
  return name.replace(hostile, escaped)
}

/** The content of a file, whose lines stay. */
export function visibleText(text: string): string {
  return text.replace(hostileInText, escaped)
}

function escaped(character: string): string {
  const code = character.charCodeAt(0)
  return code < 256
    ? `\\x${code.toString(16).padStart(2, '0')}`
    : `\\u${code.toString(16).padStart(4, '0')}`
}

/** A word for a shell, on one line. */
export function shellWord(text: string): string {
  if (/^[\w@%+=:,./-]+$/.test(text)) return text
  const quoted = visibleName(text.replaceAll('\\', '\\\\'))
  const isPlain = quoted === text || quoted === text.replaceAll('\\', '\\\\')
  return isPlain ? `'${text.replaceAll("'", "'\\''")}'` : `$'${quoted.replaceAll("'", "\\'")}'`
}

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
