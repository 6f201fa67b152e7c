import { readRegularFile } from '../input/input.ts'
import { accessAdvice } from './access-advice.ts'
import type { CredentialSource } from './credential.ts'
import { CredentialError } from './credential-error.ts'

/** A changed password file takes effect within this time, in milliseconds. */
const rereadInterval = 30_000

type StaticOptions = {
  readonly username: string
  readonly password?: string | undefined
  readonly passwordFile?: string | undefined
}

/**
 * A user name, and a password from the configuration or from a file, without one trailing newline.
 */
export function createStaticSource({
  username,
  password,
  passwordFile,
}: StaticOptions): CredentialSource {
  const source = passwordFile ?? 'the configuration'
  return {
    identity: () => username,
    source: () => source,
    fetch: async () => {
      const isFile = passwordFile !== undefined
      const text = isFile ? withoutNewline(await readPassword(passwordFile)) : password
      // The danger: a registry denies an empty password, and a denial removes tags from the cache.
      if (!text)
        throw new CredentialError(`${isFile ? passwordFile : 'the password'} is empty`, {
          advice: isFile ? 'write the password into the file' : 'set it, or passwordFile',
        })
      const credential = { kind: 'password', username, password: text } as const
      return { credential, ...(isFile && { refreshAfter: rereadInterval }) }
    },
    advice: (repository, access) =>
      accessAdvice({ identity: username, source, repository, access }),
  }
}

function withoutNewline(text: string): string {
  return text.replace(/\r?\n$/, '')
}

function readPassword(file: string): Promise<string> {
  return readRegularFile(file).catch((cause: NodeJS.ErrnoException) => {
    throw new CredentialError(`cannot read ${file}: ${cause.code ?? 'unknown'}`, {
      advice:
        "set upstreams[].credentials.passwordFile to a file that Berth can read: check that the volume is mounted and readable for Berth's user",
      cause,
    })
  })
}
