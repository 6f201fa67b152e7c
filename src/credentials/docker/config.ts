import { existsSync } from 'node:fs'
import { z } from 'zod'
import { accessAdvice } from '../access-advice.ts'
import type { Credential, CredentialSource, Fetched } from '../credential.ts'
import { CredentialError } from '../credential-error.ts'
import { readJsonFile } from '../json-file.ts'
import { fetchedFrom, nameOf } from './helper.ts'
import { runHelper } from './helper-program.ts'
import { exactKeyFor, keyFor, namespacesOf, serverOf } from './hosts.ts'

/** A changed file takes effect within this time, in milliseconds. */
const rereadInterval = 30_000
/** Of the hosts that a message lists. */
const maxListedHosts = 5

const entrySchema = z.looseObject({
  auth: z.string().optional(),
  username: z.string().optional(),
  password: z.string().optional(),
  identitytoken: z.string().optional(),
  registrytoken: z.string().optional(),
})
const schema = z.preprocess(
  withAuths,
  z.looseObject({
    auths: orNull(z.record(z.string(), entrySchema), {}),
    credHelpers: orNull(z.record(z.string(), z.string()), {}),
    credsStore: orNull(z.string(), ''),
  }),
)

function orNull<Schema extends z.ZodType>(schema: Schema, otherwise: z.output<Schema>) {
  return schema.nullish().transform((value) => value ?? otherwise)
}

type Configuration = z.infer<typeof schema>
type Entry = z.infer<typeof entrySchema>

type DockerConfigOptions = { readonly file: string; readonly host: string }

/**
 * The credential for `host` from a docker `config.json`, the `.dockerconfigjson` of an imagePullSecret,
 * podman's `auth.json`, or docker's older `.dockercfg`. A file without an entry for the host is an error,
 * because it was configured for this upstream.
 *
 * 1. Run the credential helper in `credHelpers` for this host, else the one in `credsStore`.
 * 2. Without a helper, or if it has no credential, use the entry under `auths`.
 *
 * Each fetch reads the file again: after 30 seconds, or when the upstream rejects the credential. The
 * answer of a helper is used for five minutes.
 */
export function createDockerConfigSource({ file, host }: DockerConfigOptions): CredentialSource {
  const where = `the entry for ${host} in ${file}`
  let source = where
  let identity = where
  const update = (fetched: Fetched, newSource: string): Fetched => {
    source = newSource
    identity = nameOf(fetched.credential) ?? newSource
    return fetched
  }
  return {
    identity: () => identity,
    source: () => source,
    fetch: async () => {
      const configuration = await read(file)
      const key = keyFor(host, Object.keys(configuration.auths))
      const entry = key === undefined ? undefined : configuration.auths[key]
      const lookup = helperFor(configuration, host)
      if (lookup !== undefined) {
        const answer = await runHelper(lookup)
        if (answer !== undefined)
          return update(
            fetchedFrom(answer),
            `docker-credential-${lookup.helper}, which ${file} names`,
          )
        // docker writes an empty entry for a credential that a helper stores.
        if (entry === undefined || isEmpty(entry)) throw noCredential(lookup, file, host)
      }
      if (entry === undefined) throw noEntry(file, host, configuration)
      return update(
        { credential: credentialOf(entry, where, host), refreshAfter: rereadInterval },
        where,
      )
    },
    advice: (repository, access) => accessAdvice({ identity, source: file, repository, access }),
  }
}

/**
 * Whether docker would log in at `host` with this `config.json`: it has an entry or a helper for the host, or the helper
 * for all hosts has a credential. A file that does not exist has none.
 * @throws CredentialError
 */
export async function hasDockerLogin({ file, host }: DockerConfigOptions): Promise<boolean> {
  if (!existsSync(file)) return false
  const configuration = await read(file)
  const keys = Object.keys(configuration.auths)
  // An entry for a part of the host is no login, and the error says so.
  if (keyFor(host, keys) !== undefined || namespacesOf(host, keys).length > 0) return true
  if (exactKeyFor(host, Object.keys(configuration.credHelpers)) !== undefined) return true
  const lookup = helperFor(configuration, host)
  return lookup !== undefined && (await runHelper(lookup)) !== undefined
}

/** `.dockercfg` is the same without `auths` around it. */
function withAuths(content: unknown): unknown {
  if (typeof content !== 'object' || content === null || Array.isArray(content)) return content
  if ('auths' in content || 'credHelpers' in content || 'credsStore' in content) return content
  const entries = Object.entries(content).filter(([, entry]) => typeof entry === 'object')
  return { auths: Object.fromEntries(entries) }
}

async function read(file: string): Promise<Configuration> {
  try {
    return await readJsonFile(file, schema)
  } catch (error) {
    throw new CredentialError(error instanceof Error ? error.message : String(error), {
      advice:
        "set upstreams[].credentials.file to a config.json that docker login wrote, or to the mounted .dockerconfigjson of an imagePullSecret; Berth's user must be able to read it",
      cause: error,
    })
  }
}

type HelperLookup = { readonly helper: string; readonly server: string }

function helperFor(
  { credHelpers, credsStore }: Configuration,
  host: string,
): HelperLookup | undefined {
  const key = exactKeyFor(host, Object.keys(credHelpers))
  const helper = key === undefined ? undefined : credHelpers[key]
  // docker and podman pass the key in `credHelpers` to the program.
  if (key !== undefined && helper !== undefined && helper !== '') return { helper, server: key }
  return credsStore === '' ? undefined : { helper: credsStore, server: serverOf(host) }
}

function isEmpty({ auth, username, password, identitytoken, registrytoken }: Entry): boolean {
  return ![auth, username, password, identitytoken, registrytoken].some(Boolean)
}

function credentialOf(entry: Entry, where: string, host: string): Credential {
  const [username, password] = loginIn(entry)
  if (entry.identitytoken)
    return { kind: 'identity-token', username: username ?? '', token: entry.identitytoken }
  const advice = `run docker login ${host}, or set "auth" to the base64 of USER:PASSWORD`
  // What kubectl create secret docker-registry writes for --docker-password=$UNSET.
  if (username && password === '')
    throw new CredentialError(`${where} has an empty password for ${username}`, { advice })
  if (username && password !== undefined) return { kind: 'password', username, password }
  if (entry.registrytoken)
    throw new CredentialError(
      `${where} is a registry token, which Berth does not use: it is for one repository, and expires soon`,
      { advice },
    )
  throw new CredentialError(
    `${where} has neither "auth" nor "username" and "password" nor "identitytoken"`,
    { advice },
  )
}

function loginIn(
  entry: Entry,
): readonly [username?: string | undefined, password?: string | undefined] {
  const decoded = Buffer.from(entry.auth ?? '', 'base64').toString('utf8')
  const colon = decoded.indexOf(':')
  if (colon <= 0) return [entry.username, entry.password]
  // docker sometimes pads the password with NUL bytes; its own reader removes them as well.
  return [decoded.slice(0, colon), decoded.slice(colon + 1).replace(/\0+$/, '')]
}

function noCredential(
  { helper, server }: HelperLookup,
  file: string,
  host: string,
): CredentialError {
  const program = `docker-credential-${helper}`
  return new CredentialError(
    `${program}, which ${file} names, has no credential for ${server}, and there is none for ${host} under "auths"`,
    {
      advice: `run docker login ${host} as Berth's user and with this file, or log in with the tool that ${program} belongs to`,
    },
  )
}

function noEntry(file: string, host: string, { auths }: Configuration): CredentialError {
  const hosts = Object.keys(auths)
  const parts = namespacesOf(host, hosts)
  const known = hosts.slice(0, maxListedHosts).join(', ') || 'no host'
  const advice =
    parts.length > 0
      ? `it has an entry for ${parts.slice(0, maxListedHosts).join(', ')}, but Berth needs a credential for the whole registry: move the entry to "${host}"`
      : `it has entries for ${known}. Add one: docker login ${host}`
  return new CredentialError(`${file} has no entry for ${host} under "auths"`, { advice })
}
