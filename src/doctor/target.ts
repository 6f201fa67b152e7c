import { RegistryError } from '../oci/errors.ts'
import { createMatcher } from '../oci/globs.ts'
import {
  joinName,
  nameBelow,
  parseReference,
  parseRepositoryName,
  type Reference,
  type RepositoryName,
} from '../oci/reference.ts'

/** An image at an upstream. */
export type Target = {
  /** As it was asked for. */
  readonly asked: string
  /** Below the upstream's prefix. */
  readonly name: RepositoryName
  readonly reference: Reference
}

type Upstream = {
  readonly prefix: string
  readonly url: string
  readonly repositories: readonly string[]
  readonly except?: readonly string[]
}

type Configured<Kind extends Upstream> = {
  readonly upstreams: readonly Kind[]
  readonly hosted: readonly { readonly prefix: string }[]
}

/**
 * The upstream that a pod's image comes from, found as the server finds it: `localhost:30026/NAME:TAG`,
 * the same without the host, or as the upstream itself calls it, `HOST/NAME:TAG`.
 * @throws RegistryError for what is no reference, or no upstream's.
 */
export function findTarget<Kind extends Upstream>(
  asked: string,
  { upstreams, hosted }: Configured<Kind>,
): { readonly upstream: Kind; readonly target: Target } {
  const { host, path, reference } = splitReference(asked)
  const byHost = upstreams.find(({ url }) => new URL(url).host === host)
  const isPrefix = upstreams.some(({ prefix }) => prefix.split('/')[0] === host)
  if (byHost !== undefined && !isPrefix) {
    const name = parseRepositoryName(path)
    return { upstream: byHost, target: { asked, name, reference } }
  }
  const isOurs = host === undefined || host === 'localhost' || host.includes(':')
  if (!isOurs && !isPrefix)
    throw refusal(`no upstream is configured for ${host}; leave out the host if it is Berth's own`)
  const name = isOurs ? parseRepositoryName(path) : joinName(host, path)
  const owners = [
    ...upstreams.map((upstream) => ({ prefix: upstream.prefix, upstream })),
    ...hosted.map(({ prefix }) => ({ prefix, upstream: undefined })),
  ].toSorted((a, b) => b.prefix.length - a.prefix.length)
  for (const { prefix, upstream } of owners) {
    const below = nameBelow(prefix, name)
    if (below === undefined) continue
    if (upstream === undefined)
      throw refusal(`${name} is hosted by Berth itself, not pulled through`)
    const { repositories: include, except } = upstream
    if (!createMatcher({ include, except })(below))
      throw refusal(
        `${name} is not served: upstreams[].repositories and upstreams[].except of ${upstream.url} leave it out`,
      )
    return { upstream, target: { asked, name: below, reference } }
  }
  throw refusal(`no upstream is configured for ${name}, and there is no default one`)
}

/** `latest` where neither tag nor digest is named, as with every client. */
function splitReference(asked: string) {
  const [, tagged = '', digest] = /^([^@]*)(?:@(.*))?$/s.exec(asked) ?? []
  const [, full = '', tag] = /^(.*?)(?::([^:/]*))?$/s.exec(tagged) ?? []
  const [, host, path = full] = /^([^/]*[.:][^/]*|localhost)\/(.*)$/s.exec(full) ?? []
  return { host, path, reference: parseReference(digest ?? tag ?? 'latest') }
}

function refusal(message: string): RegistryError {
  return new RegistryError('NAME_UNKNOWN', { message })
}
