/** A view of the page, as its address after `#` names it. */
export type Route =
  | { readonly kind: 'catalogue'; readonly prefix: string; readonly search: string }
  | { readonly kind: 'repository'; readonly name: string }
  | {
      readonly kind: 'image'
      readonly name: string
      readonly reference: string
      readonly platform: string | undefined
      readonly section: string | undefined
      /** Of the section `files`. */
      readonly path: string
      readonly layer: number | undefined
    }
  | {
      readonly kind: 'compare'
      readonly before: ImageName
      readonly after: ImageName | undefined
      readonly platform: string | undefined
      readonly section: string | undefined
    }
  | { readonly kind: 'history'; readonly name: string; readonly tag: string }
  | { readonly kind: 'removed'; readonly name: string }
  | { readonly kind: 'overview' }
  /** Of a prefix, which is empty or ends with a slash, or of a repository. */
  | { readonly kind: 'usage'; readonly path: string }
  | { readonly kind: 'why'; readonly image: string }

/** `reference`: a tag or a digest. */
export type ImageName = { readonly name: string; readonly reference: string }

/**
 * `#/PREFIX/`, `#/NAME`, `#/NAME:TAG` and `#/NAME@DIGEST`, which can be written by hand, `#overview`,
 * `#usage/PREFIX/`, `#usage/NAME`, and `#why/IMAGE`.
 * What the client asks for is decided by the API; here nothing is rejected.
 */
export function parseRoute(hash: string): Route {
  const text = hash.replace(/^#/, '')
  if (text === 'overview') return { kind: 'overview' }
  const special = /^(usage|why)(?:\/|$)/.exec(text)
  if (special !== null) {
    const rest = decode(text.slice(special[0].length))
    return special[1] === 'why' ? { kind: 'why', image: rest } : { kind: 'usage', path: rest }
  }
  const queryStart = text.indexOf('?')
  const query = new URLSearchParams(queryStart < 0 ? '' : text.slice(queryStart + 1))
  const path = decode(queryStart < 0 ? text : text.slice(0, queryStart)).replace(/^\/+/, '')
  if (path === '' || path.endsWith('/'))
    return { kind: 'catalogue', prefix: path, search: query.get('search') ?? '' }
  const { name, reference } = splitName(path)
  if (reference === undefined)
    return query.has('removed') ? { kind: 'removed', name } : { kind: 'repository', name }
  if (query.has('history')) return { kind: 'history', name, tag: reference }
  const [platform, section] = ['platform', 'section'].map((key) => query.get(key) ?? undefined)
  const compared = query.get('compare')
  if (compared !== null) {
    const [before, after] = [{ name, reference }, parseImageName(compared, name)]
    return { kind: 'compare', before, after, platform, section }
  }
  const layer = query.get('layer') ?? ''
  return {
    kind: 'image',
    name,
    reference,
    platform,
    section,
    path: query.get('path') ?? '',
    layer: /^\d{1,4}$/.test(layer) ? Number(layer) : undefined,
  }
}

function splitName(path: string): { readonly name: string; readonly reference?: string } {
  const at = path.indexOf('@')
  const colon = path.indexOf(':', path.lastIndexOf('/'))
  const end = at >= 0 ? at : colon
  return end < 0 ? { name: path } : { name: path.slice(0, end), reference: path.slice(end + 1) }
}

/** NAME:TAG and NAME@DIGEST; TAG and DIGEST alone are of the repository `name`. Undefined: nothing is named. */
export function parseImageName(text: string, name: string): ImageName | undefined {
  if (text === '') return undefined
  const isDigest = /^[a-z0-9]+:[a-f0-9]{32,}$/.test(text)
  if (isDigest || !/[/:@]/.test(text)) return { name, reference: text }
  const named = splitName(text)
  return { name: named.name, reference: named.reference || 'latest' }
}

function decode(text: string): string {
  try {
    return decodeURIComponent(text)
  } catch {
    return text
  }
}

export const overviewLink = '#overview'

export function usageLink(path: string): string {
  return path === '' ? '#usage' : `#usage/${path}`
}

export function whyLink(image: string): string {
  return `#why/${encodeURIComponent(image).replaceAll('%2F', '/').replaceAll('%3A', ':').replaceAll('%40', '@')}`
}

export function prefixLink(prefix: string): string {
  return `#/${prefix}`
}

export function searchLink(search: string): string {
  return search === '' ? '#/' : `#/?search=${encodeURIComponent(search)}`
}

export type ImageLink = {
  readonly platform?: string | undefined
  readonly section?: string | undefined
  readonly path?: string | undefined
  readonly layer?: string | undefined
}

export function imageLink(name: string, reference?: string, options: ImageLink = {}): string {
  if (reference === undefined) return `#/${name}`
  return linkTo(fullReference(name, reference), options)
}

/** Without `after`, it is chosen in the view. */
export function compareLink(
  before: ImageName,
  after?: ImageName,
  { platform, section }: ImageLink = {},
): string {
  const isSame = after?.name === before.name
  const compare = after && (isSame ? after.reference : fullReference(after.name, after.reference))
  return linkTo(fullReference(before.name, before.reference), {
    compare: compare ?? '',
    platform,
    section,
  })
}

export function historyLink(name: string, tag: string): string {
  return linkTo(fullReference(name, tag), { history: '' })
}

export function removedLink(name: string): string {
  return linkTo(name, { removed: '' })
}

function linkTo(path: string, parameters: Readonly<Record<string, string | undefined>>): string {
  const query = new URLSearchParams()
  for (const [key, value] of Object.entries(parameters))
    if (value !== undefined) query.set(key, value)
  const text = query
    .toString()
    .replaceAll('%2F', '/')
    .replaceAll('%3A', ':')
    .replaceAll('%40', '@')
    .replace(/=(?=&|$)/g, '')
  return `#/${path}${text === '' ? '' : `?${text}`}`
}

/** NAME:TAG or NAME@DIGEST. */
export function fullReference(name: string, reference: string): string {
  return `${name}${reference.includes(':') ? '@' : ':'}${reference}`
}

export function navigate(link: string, { replace = false } = {}): void {
  if (!replace) {
    location.hash = link
    return
  }
  history.replaceState(null, '', link)
  dispatchEvent(new HashChangeEvent('hashchange'))
}
