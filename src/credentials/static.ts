import { readRegularFile } from '../input/input.ts'
import type { CredentialSource } from './credential.ts'
import { CredentialError } from './credential-error.ts'
import { pullAdvice } from './pull-advice.ts'

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
  const from = passwordFile ?? 'the configuration'
  return {
    identity: () => username,
    source: () => from,
    fetch: async () => {
      if (passwordFile === undefined)
        return { credential: { kind: 'password', username, password: password ?? '' } }
      const text = await readPassword(passwordFile)
      const credential = {
        kind: 'password',
        username,
        password: text.replace(/\r?\n$/, ''),
      } as const
      return { credential, refreshAfter: rereadAfter }
    },
    advice: (repository) => pullAdvice({ identity: username, source: from, repository }),
  }
}

function readPassword(file: string): Promise<string> {
  return readRegularFile(file).catch((cause: NodeJS.ErrnoException) => {
    throw new CredentialError(`${file} cannot be read: ${cause.code ?? 'unknown'}`, {
      advice:
        'credentials.passwordFile must name a file that Berth can read: is the volume mounted, and readable for its user?',
      cause,
    })
  })
}
