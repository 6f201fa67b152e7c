import { LRUCache } from 'lru-cache'
import { limitEntries } from '../memory/memory.ts'
import { dockerHubHosts } from '../oci/docker-hub.ts'
import { RegistryError } from '../oci/errors.ts'
import { createMatcher } from '../oci/globs.ts'
import { isRepositoryName, joinName, nameBelow, type RepositoryName } from '../oci/reference.ts'
import { isRegistryHost } from '../oci/registry-host.ts'
import type { Opened, Registry, Resolved } from './repository.ts'

/** A prefix of names, and the repositories below it. */
export type Route = {
  readonly prefix: string
  /** Values of `?ns=` for this upstream. Docker Hub's other host names are added automatically. */
  readonly hosts: readonly string[]
  /** Globs of names below the prefix that are served. */
  readonly repositories: readonly string[]
  /** Globs of names below the prefix that are not served, although `repositories` matches them. */
  readonly except?: readonly string[]
  readonly anonymous: boolean
  readonly isHosted: boolean
  /** `name` is below the prefix. */
  readonly open: (name: RepositoryName) => Opened
}

/** Names that are kept with what they mean: a cluster's nodes ask for few repositories, often. */
const maxRecent = 1000

type Compiled = Route & { readonly serves: (name: string) => boolean; readonly isHub: boolean }

/**
 * The longest prefix of whole segments decides. No other upstream is tried after a miss, so that a
 * name cannot be shadowed by publishing it at another registry.
 *
 * With `?ns=HOST`, the upstream with the prefix HOST decides, else the one with the host HOST. The
 * path is the name at the upstream, as containerd's mirrors send it. If the path begins with HOST or
 * the prefix (containerd's `override_path`, k3s's `rewrite`, BuildKit's mirrors with a path), that
 * is removed first.
 *
 * `ownHosts` (and `*.domain`) are names of this registry itself: nodes that reach it at another address send them.
 */
export function createRouting(
  routes: readonly Route[],
  ownHosts: readonly string[] = [],
): Registry['resolve'] {
  const byLength: readonly Compiled[] = routes
    .map((route) => ({
      ...route,
      serves: createMatcher({ include: route.repositories, except: route.except }),
      isHub: route.hosts.some((host) => dockerHubHosts.includes(host)),
    }))
    .toSorted((a, b) => b.prefix.length - a.prefix.length)

  const advice = hostedAdvice(byLength)

  const ownerOf = (name: RepositoryName) =>
    byLength.find(({ prefix }) => nameBelow(prefix, name) !== undefined)

  const named = (namespace: string) => {
    const all = byLength.filter(
      ({ hosts, isHub }) =>
        hosts.includes(namespace) || (isHub && dockerHubHosts.includes(namespace)),
    )
    return all.find(({ prefix }) => prefix === namespace) ?? all[0]
  }

  /** The upstream of a host; undefined: this registry itself. An upstream with the same host comes first. */
  const selected = (namespace: string | undefined): Compiled | undefined => {
    if (namespace === undefined || isOwnAddress(namespace)) return undefined
    const route = namespace === '' ? undefined : named(namespace)
    if (route === undefined && !isOneOf(ownHosts, namespace))
      throw unknown(`no upstream is configured for ${displayed(namespace)}`)
    return route
  }

  const resolve = (name: RepositoryName, namespace: string | undefined): Resolved => {
    const route = selected(namespace)
    if (namespace !== undefined && route !== undefined) {
      const below = nameAt(route, name, namespace)
      const full = joinName(route.prefix, below)
      // Access is decided by the name: one name must not be two repositories.
      if (ownerOf(full) !== route)
        throw unknown(`${full} is the name of another repository of this registry`)
      return { ...open(route, below), namespace }
    }
    for (const each of byLength) {
      const below = nameBelow(each.prefix, name)
      if (below !== undefined) return open(each, below)
    }
    throw unknown(
      'no upstream is configured for this name, and there is no default upstream',
      advice,
    )
  }

  const recent = new LRUCache<string, Resolved>(limitEntries(maxRecent))
  return (name, namespace) => {
    const key = namespace === undefined ? name : `${namespace} ${name}`
    const known = recent.get(key)
    if (known !== undefined) return known
    const resolved = resolve(name, namespace)
    recent.set(key, resolved)
    return resolved
  }
}

/**
 * The name at the upstream for a path with `?ns=`. A prefix without a dot may also be the start of a
 * name at the upstream (`acme/app` at registry.acme.example). So it is removed at Docker Hub only,
 * and only from names of more than two segments, which Docker Hub does not have.
 */
function nameAt({ prefix, isHub }: Compiled, name: RepositoryName, namespace: string) {
  const [first = ''] = prefix.split('/')
  const isHost = first.includes('.') || (isHub && name.split('/').length > 2)
  const below = isHost && prefix !== '' ? nameBelow(prefix, name) : undefined
  return below ?? (isRepositoryName(namespace) ? nameBelow(namespace, name) : undefined) ?? name
}

function open(route: Compiled, requests: RepositoryName) {
  // A repository has one name: access that is denied under it must not be granted under another.
  const below = route.isHub && !requests.includes('/') ? joinName('library', requests) : requests
  const name = joinName(route.prefix, below)
  if (!route.serves(below)) {
    throw new RegistryError('DENIED', {
      message: `${name} is not served: upstreams[].repositories and upstreams[].except of its upstream exclude it`,
    })
  }
  const { prefix, isHosted, anonymous } = route
  return { name, prefix, below, isHosted, ...route.open(below), anonymous }
}

/** A client that mirrors one address of Berth at another one sends the first as `?ns=`. */
function isOwnAddress(namespace: string): boolean {
  return /^(localhost|127(\.\d+){3}|\[::1\])(:\d+)?$/.test(namespace)
}

/** Whether a host, with any port, is one of `hosts`, which may contain `*.domain`. */
function isOneOf(hosts: readonly string[], namespace: string): boolean {
  const name = namespace.replace(/:\d+$/, '').toLowerCase()
  const wildcard = `*${name.slice(name.indexOf('.'))}`
  return hosts.some((host) => [name, wildcard].includes(host.toLowerCase()))
}

/** A value from a client becomes part of a message only if it can be a host. */
function displayed(namespace: string): string {
  return isRegistryHost(namespace) ? namespace : 'the value of ?ns=, which is not a host'
}

function unknown(message: string, advice?: string): RegistryError {
  return new RegistryError('NAME_UNKNOWN', { message, advice })
}

/** For who pushes to a name without the prefix. */
function hostedAdvice(routes: readonly Route[]): string | undefined {
  const prefixes = routes.filter(({ isHosted }) => isHosted).map(({ prefix }) => `${prefix}/`)
  return prefixes.length === 0
    ? undefined
    : `images of this registry are below ${prefixes.join(' and ')}`
}
