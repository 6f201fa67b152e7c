import { readdir } from 'node:fs/promises'
import { join } from 'node:path'
import { z } from 'zod'
import { readRegularFile } from '../input/input.ts'
import type { CredentialSource, Fetched } from './credential.ts'
import { CredentialError } from './credential-error.ts'
import { createDockerConfigSource, hasEntryFor } from './docker/docker.ts'
import { readJsonFile } from './json-file.ts'
import { createStaticSource } from './static.ts'
import { createTokenSource } from './token.ts'

type SecretOptions = {
  /** Where a Secret is mounted: a file for each of its keys. */
  readonly directory: string
  /** The Secret's name, for messages. */
  readonly name: string
  /** Names of the registry, the most usual first: an entry of a dockerconfigjson must be for one of them. */
  readonly hosts: readonly [string, ...string[]]
}

/** Kubernetes replaces the files of a Secret; in milliseconds. */
const rereadInterval = 5000
/** A Secret that is gone, or cannot be used any more, counts no longer than this; in milliseconds. */
const lifetime = 60_000
const dockerKeys = ['.dockerconfigjson', 'config.json', '.dockercfg']
const configuration = z.looseObject({ auths: z.record(z.string(), z.unknown()).default({}) })

/**
 * The credential in a Secret of Kubernetes, of any of the usual types. Its keys say which it is each time that it is
 * read, so that a Secret may become one of another type. It never is anonymous.
 */
export function createSecretSource({ directory, name, hosts }: SecretOptions): CredentialSource {
  const secret = `the Secret ${name}`
  let source: CredentialSource | undefined
  const open = async (): Promise<CredentialSource> => {
    const keys: readonly string[] = await readdir(directory).catch(() => [])
    const file = (key: string) => join(directory, key)
    const dockerKey = dockerKeys.find((key) => keys.includes(key))
    if (dockerKey !== undefined) return openDocker(file(dockerKey), { name, hosts })
    if (keys.includes('username') && keys.includes('password')) {
      const username = (await readRegularFile(file('username'))).replace(/\r?\n$/, '')
      if (username === '')
        throw new CredentialError(`the Secret ${name} has an empty username`, {
          advice: 'write the name of the user into its key username',
        })
      return createStaticSource({ username, passwordFile: file('password') })
    }
    if (keys.includes('token')) return createTokenSource({ tokenFile: file('token') })
    throw unusable(
      keys.filter((key) => !key.startsWith('..')),
      name,
    )
  }
  return {
    identity: () => source?.identity() ?? `the login in ${secret}`,
    source: () => secret,
    fetch: async (): Promise<Fetched> => {
      const opened = await open()
      const fetched = await opened.fetch()
      source = opened
      return {
        ...fetched,
        refreshAfter: rereadInterval,
        lifetime: Math.min(fetched.lifetime ?? lifetime, lifetime),
      }
    },
    advice: (repository, access = 'pull') =>
      `check the login in ${secret}, and that it may ${access} ${repository === '' ? 'in this registry' : repository}`,
  }
}

async function openDocker(
  file: string,
  { name, hosts }: Pick<SecretOptions, 'name' | 'hosts'>,
): Promise<CredentialSource> {
  const { auths } = await readJsonFile(file, configuration).catch((cause: unknown) => {
    throw new CredentialError(`the Secret ${name} has no docker configuration that can be read`, {
      advice: 'create it anew: kubectl create secret docker-registry',
      cause,
    })
  })
  const known = Object.keys(auths)
  const host = hosts.find((one) => hasEntryFor(one, known))
  if (host !== undefined) return createDockerConfigSource({ file, host })
  throw new CredentialError(
    `the Secret ${name} has no entry for ${hosts.join(' or ')}; it has entries for ${known.slice(0, 5).join(', ') || 'no host'}`,
    {
      advice: `create it anew: kubectl create secret docker-registry ${name} --docker-server=${hosts[0]}`,
    },
  )
}

function unusable(keys: readonly string[], name: string): CredentialError {
  const advice =
    'it must be of type kubernetes.io/dockerconfigjson or kubernetes.io/basic-auth, or have the keys username and password, or token'
  return keys.length === 0
    ? new CredentialError(`there is no Secret ${name} in the namespace, or it is empty`, { advice })
    : new CredentialError(`the Secret ${name} has only the keys ${keys.slice(0, 5).join(', ')}`, {
        advice,
      })
}
