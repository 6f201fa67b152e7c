import { readRegularFile } from '../input/input.ts'
import type { CredentialSource } from './credential.ts'
import { CredentialError } from './credential-error.ts'
import { readClaims } from './jwt.ts'

/** A changed token file takes effect within this time, in milliseconds. Kubelets renew tokens there. */
const rereadInterval = 30_000
/** What an `Authorization` header can hold (RFC 6750, section 2.1, and tokens that ignore it). */
const grammar = /^[\x21-\x7e]+$/

const rights = { pull: 'read', push: 'write', delete: 'delete' } as const

type TokenOptions = {
  readonly token?: string | undefined
  readonly tokenFile?: string | undefined
  /** Obtains a token: first, and before the last one expires. */
  readonly request?: (() => Promise<string>) | undefined
}

/** A Bearer token from a file, one that is known already, or one that is requested. A JWT is not used after it has expired. */
export function createTokenSource({ token, tokenFile, request }: TokenOptions): CredentialSource {
  const source = tokenFile ?? 'the token'
  let identity = `the token${tokenFile === undefined ? '' : ` in ${tokenFile}`}`
  return {
    identity: () => identity,
    source: () => source,
    fetch: async () => {
      const read = request ?? (async () => (tokenFile ? readToken(tokenFile) : (token ?? '')))
      const text = (await read()).trim()
      if (!grammar.test(text))
        throw new CredentialError(`${source} is not one token: it is empty, or has spaces`, {
          advice: 'write the token alone into the file, without a user name and without "Bearer"',
        })
      const claims = readClaims(text)
      identity = claims?.sub ?? identity
      return {
        credential: { kind: 'registry-token', token: text },
        ...(tokenFile !== undefined && { refreshAfter: rereadInterval }),
        ...(claims?.exp !== undefined && { lifetime: claims.exp * 1000 - Date.now() }),
      }
    },
    advice: (repository, access = 'pull') =>
      `use a token that has not expired, and that grants ${rights[access]} access to ${repository || 'this registry'}`,
  }
}

function readToken(file: string): Promise<string> {
  return readRegularFile(file).catch((cause: NodeJS.ErrnoException) => {
    throw new CredentialError(`cannot read ${file}: ${cause.code ?? 'unknown'}`, {
      advice: 'name a file with a token that Berth can read',
      cause,
    })
  })
}
