import picomatch from 'picomatch'
import { RegistryError } from '../oci/errors.ts'
import { joinName, nameBelow, type RepositoryName } from '../oci/reference.ts'
import type { Registry, Repository } from './registry.ts'

/** One prefix of names, and who answers for it. */
export type Route = {
  readonly prefix: string
  /** What `?ns=` may call it. */
  readonly hosts: readonly string[]
  /** Globs of names below the prefix that are served. */
  readonly repositories: readonly string[]
  readonly anonymous: boolean
  /** `name` is below the prefix. */
  readonly open: (name: RepositoryName) => Repository
}

type Compiled = Route & { readonly serves: (name: string) => boolean }

/**
 * The longest prefix wins, whole segments only; there is no second try elsewhere, so that nobody
 * can shadow a name by publishing it at another registry.
 */
export function createRouting(routes: readonly Route[]): Registry['resolve'] {
  const byLength: readonly Compiled[] = routes
    .map((route) => ({ ...route, serves: globs(route.repositories) }))
    .toSorted((a, b) => b.prefix.length - a.prefix.length)

  const ownerOf = (name: RepositoryName) =>
    byLength.find(({ prefix }) => nameBelow(prefix, name) !== undefined)

  return (name, namespace) => {
    if (namespace !== undefined && !isOurs(namespace)) {
      const route = byLength.find(({ hosts }) => hosts.includes(namespace))
      if (route === undefined) throw unknown(`no upstream is configured for ${namespace}`)
      const full = joinName(route.prefix, name)
      // Access is decided by the name: one name must not be two repositories.
      if (ownerOf(full) !== route) throw unknown(`${full} is the name of another repository here`)
      return { ...open(route, name), namespace }
    }
    for (const route of byLength) {
      const below = nameBelow(route.prefix, name)
      if (below !== undefined) return open(route, below)
    }
    throw unknown('no upstream is configured for this name, and there is no default one')
  }
}

function open(route: Compiled, below: RepositoryName) {
  const name = joinName(route.prefix, below)
  if (!route.serves(below)) {
    throw new RegistryError('DENIED', {
      message: `${name} is not among the repositories that are served here (the upstream's "repositories")`,
    })
  }
  return { name, repository: route.open(below), anonymous: route.anonymous }
}

function globs(patterns: readonly string[]): (name: string) => boolean {
  return patterns.includes('**') ? () => true : picomatch([...patterns])
}

/** A node whose mirror leads to another address of ours says which name the image bore: our own. */
function isOurs(namespace: string): boolean {
  return /^(localhost|127(\.\d+){3}|\[::1\])(:\d+)?$/.test(namespace)
}

function unknown(message: string): RegistryError {
  return new RegistryError('NAME_UNKNOWN', { message })
}
