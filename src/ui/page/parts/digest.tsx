import { Copy } from './copy.tsx'
import { shortDigest } from './format.ts'

type DigestProps = {
  readonly digest: string
  readonly href?: string
  readonly tabIndex?: number
  /** In lists, without the algorithm. */
  readonly isShort?: boolean
}

/** The beginning of a digest, and a button that copies all of it. */
export function Digest({ digest, href, tabIndex = 0, isShort = false }: DigestProps) {
  const short = shortDigest(digest)
  const text = <code title={digest}>{isShort ? short.slice(short.indexOf(':') + 1) : short}</code>
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
