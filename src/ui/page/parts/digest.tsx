import { Copy } from './copy.tsx'
import { shortDigest } from './format.ts'

type DigestProps = { readonly digest: string; readonly href?: string; readonly tabIndex?: number }

/** The beginning of a digest, and a button that copies all of it. */
export function Digest({ digest, href, tabIndex = 0 }: DigestProps) {
  const text = <code title={digest}>{shortDigest(digest)}</code>
  return (
    <span class="digest">
      {href === undefined ? (
        text
      ) : (
        <a href={href} tabIndex={tabIndex}>
          {text}
        </a>
      )}
      <Copy text={digest} what="the digest" tabIndex={tabIndex} />
    </span>
  )
}
