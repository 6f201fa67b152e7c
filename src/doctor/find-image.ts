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
export type Image = {
  /** The reference as the user entered it. */
  readonly requested: string
  /** Without the upstream's prefix. */
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
 * The upstream of an image reference, found as the server finds it: `localhost:30026/NAME:TAG`, the
 * same without the host, or the upstream's own reference, `HOST/NAME:TAG`.
 * @throws RegistryError if the reference is invalid, or no upstream serves it.
 */
export function findImage<Kind extends Upstream>(
  requested: string,
  { upstreams, hosted }: Configured<Kind>,
): { readonly upstream: Kind; readonly image: Image } {
  const { host, path, reference } = splitReference(requested)
  const byHost = upstreams.find(({ url }) => new URL(url).host === host)
  const isPrefix = upstreams.some(({ prefix }) => prefix.split('/')[0] === host)
  if (byHost !== undefined && !isPrefix) {
    const name = parseRepositoryName(path)
    return { upstream: byHost, image: { requested, name, reference } }
  }
  const isBerthName = host === undefined || host === 'localhost' || host.includes(':')
  if (!isBerthName && !isPrefix)
    throw notServed(
      `no upstream is configured for ${host}; if that is Berth's own host, leave it out`,
    )
  const name = isBerthName ? parseRepositoryName(path) : joinName(host, path)
  const owners = [
    ...upstreams.map((upstream) => ({ prefix: upstream.prefix, upstream })),
    ...hosted.map(({ prefix }) => ({ prefix, upstream: undefined })),
  ].toSorted((a, b) => b.prefix.length - a.prefix.length)
  for (const { prefix, upstream } of owners) {
    const below = nameBelow(prefix, name)
    if (below === undefined) continue
    if (upstream === undefined)
      throw notServed(`${name} is hosted by Berth itself: there is no upstream to check`)
    const { repositories: include, except } = upstream
    if (!createMatcher({ include, except })(below))
      throw notServed(
        `${name} is not served: upstreams[].repositories or upstreams[].except of ${upstream.url} excludes it`,
      )
    return { upstream, image: { requested, name: below, reference } }
  }
  throw notServed(`no upstream is configured for ${name}, and there is no default upstream`)
}

/** The tag is `latest` without a tag and a digest, as with every client. */
function splitReference(text: string) {
  const [, tagged = '', digest] = /^([^@]*)(?:@(.*))?$/s.exec(text) ?? []
  const [, full = '', tag] = /^(.*?)(?::([^:/]*))?$/s.exec(tagged) ?? []
  const [, host, path = full] = /^([^/]*[.:][^/]*|localhost)\/(.*)$/s.exec(full) ?? []
  return { host, path, reference: parseReference(digest ?? tag ?? 'latest') }
}

function notServed(message: string): RegistryError {
  return new RegistryError('NAME_UNKNOWN', { message })
}
