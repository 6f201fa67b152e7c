import type { Credential, CredentialSource, Fetched } from '../credential.ts'
import { CredentialError } from '../credential-error.ts'
import { readClaims } from '../jwt.ts'
import { pullAdvice } from '../pull-advice.ts'
import { askHelper, type HelperAnswer } from './helper-program.ts'
import { serverOf } from './hosts.ts'

/** How soon what a program says differently counts, in milliseconds. */
const askAgainAfter = 300_000

type DockerHelperOptions = { readonly helper: string; readonly host: string }

/** What a program `docker-credential-HELPER` knows for `host`. It inherits our environment. */
export function createDockerHelperSource({ helper, host }: DockerHelperOptions): CredentialSource {
  const program = `docker-credential-${helper}`
  const server = serverOf(host)
  let identity = `who ${program} says`
  return {
    identity: () => identity,
    source: () => `${program} get, for ${server}`,
    fetch: async () => {
      const answer = await askHelper({ helper, server })
      if (answer === undefined)
        throw new CredentialError(`${program} has no credential for ${server}`, {
          advice: `log in as it wants that, as Berth's user, so that echo -n ${server} | ${program} get finds it`,
        })
      const fetched = fetchedFrom(answer)
      identity = nameOf(fetched.credential) ?? identity
      return fetched
    },
    advice: (repository) => pullAdvice({ identity, source: program, repository }),
  }
}

/**
 * A secret that tells its expiry is not used beyond it. For the user name `<token>` it is an identity
 * token (docker-credential-helpers, "Development").
 */
export function fetchedFrom({ username, secret }: HelperAnswer): Fetched {
  const credential: Credential =
    username === '<token>'
      ? { kind: 'identity-token', username: '', token: secret }
      : { kind: 'password', username, password: secret }
  const expiry = readClaims(secret)?.exp
  const lifetime = expiry === undefined ? undefined : expiry * 1000 - Date.now()
  return {
    credential,
    refreshAfter: askAgainAfter,
    ...(lifetime !== undefined && { lifetime }),
  }
}

/** Undefined where a credential does not say whose it is. */
export function nameOf(credential: Credential): string | undefined {
  return (credential.kind !== 'anonymous' && credential.username) || undefined
}
