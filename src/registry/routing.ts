import { dockerHubHosts } from '../oci/docker-hub.ts'
import { RegistryError } from '../oci/errors.ts'
import { createMatcher } from '../oci/globs.ts'
import { isRepositoryName, joinName, nameBelow, type RepositoryName } from '../oci/reference.ts'
import { isRegistryHost } from '../oci/registry-host.ts'
import type { Registry, Repository } from './repository.ts'

/** One prefix of names, and who answers for it. */
export type Route = {
  readonly prefix: string
  /** What `?ns=` may call it; Docker Hub's other names come by themselves. */
  readonly hosts: readonly string[]
  /** Globs of names below the prefix that are served. */
  readonly repositories: readonly string[]
  /** Globs of names below the prefix that are not served, though `repositories` has them. */
  readonly except?: readonly string[]
  readonly anonymous: boolean
  /** `name` is below the prefix. */
  readonly open: (name: RepositoryName) => Repository
}

type Compiled = Route & { readonly serves: (name: string) => boolean; readonly isHub: boolean }

/**
 * The longest prefix wins, whole segments only; there is no second try elsewhere, so that nobody
 * can shadow a name by publishing it at another registry.
 *
 * With `?ns=HOST`, the upstream whose prefix is HOST wins, else the one whose host is HOST. The path
 * is the upstream's own name, as containerd's mirrors send it, unless it carries HOST or the prefix
 * in front (containerd's `override_path`, k3s' `rewrite`, BuildKit's mirrors with a path): then that
 * is taken off first.
 */
export function createRouting(routes: readonly Route[]): Registry['resolve'] {
  const byLength: readonly Compiled[] = routes
    .map((route) => ({
      ...route,
      serves: createMatcher({ include: route.repositories, except: route.except }),
      isHub: route.hosts.some((host) => dockerHubHosts.includes(host)),
    }))
    .toSorted((a, b) => b.prefix.length - a.prefix.length)

  const ownerOf = (name: RepositoryName) =>
    byLength.find(({ prefix }) => nameBelow(prefix, name) !== undefined)

  const named = (namespace: string) => {
    const all = byLength.filter(
      ({ hosts, isHub }) =>
        hosts.includes(namespace) || (isHub && dockerHubHosts.includes(namespace)),
    )
    return all.find(({ prefix }) => prefix === namespace) ?? all[0]
  }

  return (name, namespace) => {
    if (namespace !== undefined && !isOurs(namespace)) {
      const route = namespace === '' ? undefined : named(namespace)
      if (route === undefined) throw unknown(`no upstream is configured for ${shown(namespace)}`)
      const below = nameAt(route, name, namespace)
      const full = joinName(route.prefix, below)
      // Access is decided by the name: one name must not be two repositories.
      if (ownerOf(full) !== route) throw unknown(`${full} is the name of another repository here`)
      return { ...open(route, below), namespace }
    }
    for (const route of byLength) {
      const below = nameBelow(route.prefix, name)
      if (below !== undefined) return open(route, below)
    }
    throw unknown('no upstream is configured for this name, and there is no default one')
  }
}

/**
 * The upstream's own name for what a path with `?ns=` asks for. A prefix without a dot may also begin
 * names at the upstream (`acme/app` at registry.acme.example): it is taken off only where it cannot,
 * at Docker Hub, whose names have two segments.
 */
function nameAt({ prefix, isHub }: Compiled, name: RepositoryName, namespace: string) {
  const [first = ''] = prefix.split('/')
  const isHost = first.includes('.') || (isHub && name.split('/').length > 2)
  const below = isHost && prefix !== '' ? nameBelow(prefix, name) : undefined
  return below ?? (isRepositoryName(namespace) ? nameBelow(namespace, name) : undefined) ?? name
}

function open(route: Compiled, asked: RepositoryName) {
  // One name for one repository, or what is denied under one would be had under the other.
  const below = route.isHub && !asked.includes('/') ? joinName('library', asked) : asked
  const name = joinName(route.prefix, below)
  if (!route.serves(below)) {
    throw new RegistryError('DENIED', {
      message: `${name} is not served here: upstreams[].repositories and upstreams[].except of its upstream leave it out`,
    })
  }
  return { name, repository: route.open(below), anonymous: route.anonymous }
}

/** A node whose mirror leads to another address of ours says which name the image bore: our own. */
function isOurs(namespace: string): boolean {
  return /^(localhost|127(\.\d+){3}|\[::1\])(:\d+)?$/.test(namespace)
}

/** What a client sent goes into a message only if it can be a host. */
function shown(namespace: string): string {
  return isRegistryHost(namespace) ? namespace : 'what ?ns= names, which is not a host'
}

function unknown(message: string): RegistryError {
  return new RegistryError('NAME_UNKNOWN', { message })
}
