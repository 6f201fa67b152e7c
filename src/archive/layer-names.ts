import { ArchiveError } from './archive-error.ts'
import type { Limits } from './limits.ts'

/** image-spec, "Whiteouts" and "Opaque Whiteout". Names with two prefixes are AUFS's own. */
const whiteout = '.wh.'
const opaqueWhiteout = '.wh..wh..opq'
const aufs = '.wh..wh.'

/**
 * Relative to the root of the image, as container runtimes read it: empty for the root itself. Unlike names
 * in image archives, it may begin with `/` and have backslashes, as units of systemd do.
 */
export function layerName(text: string, limits: Limits): string {
  if (text.length > limits.name)
    throw new ArchiveError('too-large', 'a name in a layer is too long')
  const parts = text.split('/').filter((part) => part !== '' && part !== '.')
  if (parts.length > limits.nameParts)
    throw new ArchiveError('too-large', 'a name in a layer has too many parts')
  if (text.includes('\0') || parts.includes('..'))
    throw new ArchiveError('invalid', `a layer has a name that leaves it: ${quote(text)}`)
  return parts.join('/')
}

/** What an entry with this name means for the layers below. */
type Meaning =
  | { readonly kind: 'entry' | 'nothing' }
  | { readonly kind: 'opaque'; readonly directory: string }
  | { readonly kind: 'whiteout'; readonly hidden: string }

/** @throws ArchiveError for a whiteout of nothing. */
export function meaningOf(name: string): Meaning {
  const { parent, base } = splitName(name)
  if (base === opaqueWhiteout) return { kind: 'opaque', directory: parent }
  if (name.split('/').some((part) => part.startsWith(aufs))) return { kind: 'nothing' }
  if (!base.startsWith(whiteout)) return { kind: 'entry' }
  return { kind: 'whiteout', hidden: hiddenBy(parent, base) }
}

function hiddenBy(parent: string, base: string): string {
  const hidden = base.slice(whiteout.length)
  if (hidden === '' || hidden === '.' || hidden === '..')
    throw new ArchiveError('invalid', `a layer has an invalid whiteout: ${quote(base)}`)
  return parent === '' ? hidden : `${parent}/${hidden}`
}

export function splitName(name: string): { readonly parent: string; readonly base: string } {
  const slash = name.lastIndexOf('/')
  return { parent: name.slice(0, Math.max(slash, 0)), base: name.slice(slash + 1) }
}

export function quote(name: string): string {
  return JSON.stringify(name.length > 100 ? `${name.slice(0, 100)}…` : name)
}
