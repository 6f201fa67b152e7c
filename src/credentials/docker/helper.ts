import { accessAdvice } from '../access-advice.ts'
import type { Credential, CredentialSource, Fetched } from '../credential.ts'
import { CredentialError } from '../credential-error.ts'
import { readClaims } from '../jwt.ts'
import { type HelperCredential, runHelper } from './helper-program.ts'
import { serverOf } from './hosts.ts'

/** How long a program's answer is used before the program runs again, in milliseconds. */
const refreshInterval = 300_000

type DockerHelperOptions = { readonly helper: string; readonly host: string }

/** The credential for `host` from a program `docker-credential-HELPER`. It inherits our environment. */
export function createDockerHelperSource({ helper, host }: DockerHelperOptions): CredentialSource {
  const program = `docker-credential-${helper}`
  const server = serverOf(host)
  let identity = `the user from ${program}`
  return {
    identity: () => identity,
    source: () => `${program} get, for ${server}`,
    fetch: async () => {
      const answer = await runHelper({ helper, server })
      if (answer === undefined)
        throw new CredentialError(`${program} has no credential for ${server}`, {
          advice: `log in as Berth's user, so that this command prints a credential: echo -n ${server} | ${program} get`,
        })
      const fetched = fetchedFrom(answer)
      identity = nameOf(fetched.credential) ?? identity
      return fetched
    },
    advice: (repository, access) => accessAdvice({ identity, source: program, repository, access }),
  }
}

/**
 * A secret that is a JWT is not used after it has expired. With the user name `<token>` the secret is an
 * identity token (docker-credential-helpers, "Development").
 */
export function fetchedFrom({ username, secret }: HelperCredential): Fetched {
  const credential: Credential =
    username === '<token>'
      ? { kind: 'identity-token', username: '', token: secret }
      : { kind: 'password', username, password: secret }
  const expiry = readClaims(secret)?.exp
  const lifetime = expiry === undefined ? undefined : expiry * 1000 - Date.now()
  return {
    credential,
    refreshAfter: refreshInterval,
    ...(lifetime !== undefined && { lifetime }),
  }
}

/** The user name; undefined where a credential has none. */
export function nameOf(credential: Credential): string | undefined {
  return ('username' in credential && credential.username) || undefined
}
