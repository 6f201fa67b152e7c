import { X509Certificate } from 'node:crypto'
import { readFile } from 'node:fs/promises'

/** A certificate authority that a runtime must trust. */
type Authority = {
  readonly pem: string
  /** Milliseconds since 1970, of the certificate that expires first. */
  readonly expires: number
}

const certificate = /-----BEGIN CERTIFICATE-----[\s\S]{1,100000}?-----END CERTIFICATE-----/g

/** @throws Error when the text has no certificate, or a broken one. */
function parseAuthority(text: string): Authority {
  // Only the certificates: a private key in the same file must not reach the nodes.
  const blocks = text.match(certificate) ?? []
  if (blocks.length === 0) throw new Error('it contains no PEM certificate')
  const ends = blocks.map((block) => new X509Certificate(block).validToDate.getTime())
  return { pem: `${blocks.join('\n')}\n`, expires: Math.min(...ends) }
}

/** The last valid content of the file. */
export interface FollowedAuthority {
  /** Reads it again. */
  current(): Promise<Authority | undefined>
  /** Why the current content of the file is invalid. */
  problem(): string | undefined
}

export function followAuthority(file: string): FollowedAuthority {
  let lastValid: Authority | undefined
  let problem: string | undefined
  return {
    current: async () => {
      try {
        const text = await readFile(file, 'utf8')
        lastValid = parseAuthority(text)
        problem = undefined
      } catch (error) {
        const why = error instanceof Error ? error.message : String(error)
        const consequence = lastValid === undefined ? '' : '; its last valid content remains in use'
        problem = `${file}: ${why}${consequence}`
      }
      return lastValid
    },
    problem: () => problem,
  }
}
