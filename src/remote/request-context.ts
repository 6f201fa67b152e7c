import type { Reservations } from '../memory/memory.ts'
import { dockerHubHosts } from '../oci/docker-hub.ts'
import type { RepositoryName } from '../oci/reference.ts'
import type { Exchange } from './exchange.ts'
import type { LastDenial } from './last-denial.ts'

/** The common context of requests about one upstream's repositories. */
export type RequestContext = {
  readonly exchange: Exchange
  readonly origin: string
  readonly lastDenial: LastDenial
  /** Removes our credentials from a text that the upstream wrote. */
  readonly scrub: (text: string) => string
  /** The memory budget for bodies that are being read. */
  readonly memory: Reservations
  /** The upstream's name for it. */
  readonly repositoryOf: (name: RepositoryName) => string
  /** `/v2/NAME` on the upstream. */
  readonly pathOf: (name: RepositoryName) => string
}

/** Docker Hub's official images are below `library/`, which its users omit. */
export function repositoryNames(host: string): Pick<RequestContext, 'repositoryOf' | 'pathOf'> {
  const isHub = dockerHubHosts.includes(host)
  const repositoryOf = (name: RepositoryName) =>
    isHub && !name.includes('/') ? `library/${name}` : name
  return { repositoryOf, pathOf: (name) => `/v2/${repositoryOf(name)}` }
}
