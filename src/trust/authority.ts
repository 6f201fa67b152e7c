import { X509Certificate } from 'node:crypto'
import { readFile } from 'node:fs/promises'

/** Whom a runtime is to believe. */
type Authority = {
  readonly pem: string
  /** Milliseconds since 1970, of the certificate that expires first. */
  readonly expires: number
}

const certificate = /-----BEGIN CERTIFICATE-----[\s\S]{1,100000}?-----END CERTIFICATE-----/g

/** @throws Error when the text has no certificate, or a broken one. */
function parseAuthority(text: string): Authority {
  // Only the certificates: a key in the same file has no business on every node.
  const blocks = text.match(certificate) ?? []
  if (blocks.length === 0) throw new Error('it holds no certificate (PEM)')
  const ends = blocks.map((block) => new X509Certificate(block).validToDate.getTime())
  return { pem: `${blocks.join('\n')}\n`, expires: Math.min(...ends) }
}

/** What the file said last that could be used. */
export interface FollowedAuthority {
  /** Reads it again. */
  current(): Promise<Authority | undefined>
  /** Why the file cannot be used now. */
  trouble(): string | undefined
}

export function followAuthority(file: string): FollowedAuthority {
  let good: Authority | undefined
  let trouble: string | undefined
  return {
    current: async () => {
      try {
        const text = await readFile(file, 'utf8')
        good = parseAuthority(text)
        trouble = undefined
      } catch (error) {
        const why = error instanceof Error ? error.message : String(error)
        const consequence = good === undefined ? '' : '; what it said before stays in force'
        trouble = `${file}: ${why}${consequence}`
      }
      return good
    },
    trouble: () => trouble,
  }
}
