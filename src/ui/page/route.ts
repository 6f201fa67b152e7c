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
  | { readonly kind: 'overview' }
  /** Of a prefix, which is empty or ends with a slash, or of a repository. */
  | { readonly kind: 'usage'; readonly path: string }
  | { readonly kind: 'why'; readonly image: string }

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
  const at = path.indexOf('@')
  const colon = path.indexOf(':', path.lastIndexOf('/'))
  const end = at >= 0 ? at : colon
  if (end < 0) return { kind: 'repository', name: path }
  return {
    kind: 'image',
    name: path.slice(0, end),
    reference: path.slice(end + 1),
    platform: query.get('platform') ?? undefined,
    section: query.get('section') ?? undefined,
    path: query.get('path') ?? '',
    layer: /^\d{1,4}$/.test(query.get('layer') ?? '') ? Number(query.get('layer')) : undefined,
  }
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
  const query = new URLSearchParams()
  for (const [key, value] of Object.entries(options)) if (value !== undefined) query.set(key, value)
  const text = query.toString().replaceAll('%2F', '/')
  return `#/${fullReference(name, reference)}${text === '' ? '' : `?${text}`}`
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
