import { Copy } from '../parts/copy.tsx'
import { shortDigest } from '../parts/format.ts'
import { fullReference, imageLink, prefixLink } from '../route.ts'

type CrumbsProps = {
  /** Ends with a slash, or is empty. */
  readonly prefix: string
  /** The last part: a repository. */
  readonly name?: string
  /** A tag or a digest of it. */
  readonly reference?: string
  /** What the tree is called, and where its prefixes are. */
  readonly root?: string
  readonly linkOf?: (prefix: string) => string
}

/** Where a view is in the tree of names; its heading. */
export function Crumbs({
  prefix,
  name,
  reference,
  root = 'Images',
  linkOf = prefixLink,
}: CrumbsProps) {
  const parts = prefix.split('/').filter(Boolean)
  if (parts.length === 0 && name === undefined) return <h1>{root}</h1>
  const links = parts.map((part, at) => ({
    part,
    link: linkOf(`${parts.slice(0, at + 1).join('/')}/`),
  }))
  const path = `${prefix}${name ?? ''}`
  const full = reference === undefined ? path : fullReference(path, reference)
  return (
    <h1 class="crumbs">
      <a href={linkOf('')}>{root}</a>
      {links.map(({ part, link }, at) => (
        <span key={link}>
          <i aria-hidden="true">/</i>
          {name === undefined && at === links.length - 1 ? (
            <b>{part}</b>
          ) : (
            <a href={link}>{part}</a>
          )}
        </span>
      ))}
      {name !== undefined && (
        <span>
          <i aria-hidden="true">/</i>
          {reference === undefined ? <b>{name}</b> : <a href={imageLink(path)}>{name}</a>}
        </span>
      )}
      {reference !== undefined && (
        <span>
          <i aria-hidden="true">{reference.includes(':') ? '@' : ':'}</i>
          <b title={reference}>{reference.includes(':') ? shortDigest(reference) : reference}</b>
        </span>
      )}
      <Copy text={full} what="the name" />
    </h1>
  )
}
