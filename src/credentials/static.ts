import { readFile } from 'node:fs/promises'
import { CredentialError } from './credential-error.ts'
import type { CredentialSource } from './credentials.ts'

/** How soon a changed password file counts, in milliseconds. */
const rereadAfter = 30_000

type StaticOptions = {
  readonly username: string
  readonly password?: string | undefined
  readonly passwordFile?: string | undefined
}

/**
 * A user name, and a password from the configuration or from a file (one trailing newline is not
 * part of it).
 */
export function createStaticSource({
  username,
  password,
  passwordFile,
}: StaticOptions): CredentialSource {
  return {
    identity: () => username,
    source: () => (passwordFile === undefined ? 'the configuration' : passwordFile),
    fetch: async () => {
      if (passwordFile === undefined)
        return { credential: { kind: 'password', username, password: password ?? '' } }
      const text = await read(passwordFile)
      const credential = {
        kind: 'password',
        username,
        password: text.replace(/\r?\n$/, ''),
      } as const
      return { credential, refreshAfter: rereadAfter }
    },
  }
}

async function read(file: string): Promise<string> {
  try {
    return await readFile(file, 'utf8')
  } catch (cause) {
    throw new CredentialError(cause instanceof Error ? cause.message : String(cause), {
      advice: `credentials.passwordFile must name a file that Berth's user can read`,
      cause,
    })
  }
}
