import { readFile } from 'node:fs/promises'
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
      const text = await readFile(passwordFile, 'utf8')
      const credential = {
        kind: 'password',
        username,
        password: text.replace(/\r?\n$/, ''),
      } as const
      return { credential, refreshAfter: rereadAfter }
    },
  }
}
