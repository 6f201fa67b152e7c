import { z } from 'zod'
import type { Credential, CredentialSource, Fetched } from '../credential.ts'
import { CredentialError } from '../credential-error.ts'
import { readJsonFile } from '../json-file.ts'
import { pullAdvice } from '../pull-advice.ts'
import { fetchedFrom, nameOf } from './helper.ts'
import { askHelper } from './helper-program.ts'
import { exactKeyFor, keyFor, namespacesOf, serverOf } from './hosts.ts'

/** How soon a changed file counts, in milliseconds. */
const rereadAfter = 30_000
/** How many hosts that a file has entries for are told. */
const mostTold = 5

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
    auths: z.record(z.string(), entrySchema).default({}),
    credHelpers: z.record(z.string(), z.string()).default({}),
    credsStore: z.string().default(''),
  }),
)

type Configuration = z.infer<typeof schema>
type Entry = z.infer<typeof entrySchema>

type DockerConfigOptions = { readonly file: string; readonly host: string }

/**
 * What a docker `config.json` says of `host`, or the `.dockerconfigjson` of an imagePullSecret, podman's
 * `auth.json`, or docker's older `.dockercfg`. A file without anything for it is an error: it was
 * configured because the upstream needs it.
 *
 * 1. The program that `credHelpers` names for this host, else the one of `credsStore`.
 * 2. Where that has nothing, or none is named, the entry under `auths`.
 *
 * The file is read anew by each fetch: after half a minute, or when the upstream refuses what it said.
 * Of a program's answer it is five minutes.
 */
export function createDockerConfigSource({ file, host }: DockerConfigOptions): CredentialSource {
  const where = `the entry for ${host} in ${file}`
  let source = where
  let identity = where
  const found = (fetched: Fetched, from: string): Fetched => {
    source = from
    identity = nameOf(fetched.credential) ?? from
    return fetched
  }
  return {
    identity: () => identity,
    source: () => source,
    fetch: async () => {
      const configuration = await read(file)
      const key = keyFor(host, Object.keys(configuration.auths))
      const entry = key === undefined ? undefined : configuration.auths[key]
      const asked = helperFor(configuration, host)
      if (asked !== undefined) {
        const answer = await askHelper(asked)
        if (answer !== undefined)
          return found(fetchedFrom(answer), `docker-credential-${asked.helper}, as ${file} says`)
        // docker leaves an empty entry for what it gave to a program to keep.
        if (entry === undefined || isEmpty(entry)) throw nothingKnown(asked, file, host)
      }
      if (entry === undefined) throw noEntry(file, host, configuration)
      return found(
        { credential: credentialOf(entry, where, host), refreshAfter: rereadAfter },
        where,
      )
    },
    advice: (repository) => pullAdvice({ identity, source: file, repository }),
  }
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
      advice: `credentials.file must name a config.json as docker login writes it, or the mounted .dockerconfigjson of an imagePullSecret, readable for Berth's user`,
      cause: error,
    })
  }
}

type Asked = { readonly helper: string; readonly server: string }

function helperFor({ credHelpers, credsStore }: Configuration, host: string): Asked | undefined {
  const key = exactKeyFor(host, Object.keys(credHelpers))
  const helper = key === undefined ? undefined : credHelpers[key]
  // docker and podman ask by the name under which they found the program.
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
  if (username && password !== undefined) return { kind: 'password', username, password }
  const advice = `docker login ${host}, or write "auth": base64 of USER:PASSWORD`
  if (entry.registrytoken)
    throw new CredentialError(
      `${where} is a registry token, which is for one repository and soon expires`,
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
  // Docker pads what it writes with NUL bytes at times; its own reader takes them off as well.
  return [decoded.slice(0, colon), decoded.slice(colon + 1).replace(/\0+$/, '')]
}

function nothingKnown({ helper, server }: Asked, file: string, host: string): CredentialError {
  const program = `docker-credential-${helper}`
  return new CredentialError(
    `${program}, which ${file} names, has no credential for ${server}, and there is none for ${host} under "auths"`,
    {
      advice: `docker login ${host}, as Berth's user and with this file; or log in as ${program} wants that`,
    },
  )
}

function noEntry(file: string, host: string, { auths }: Configuration): CredentialError {
  const hosts = Object.keys(auths)
  const parts = namespacesOf(host, hosts)
  const known = hosts.slice(0, mostTold).join(', ') || 'no host'
  const advice =
    parts.length > 0
      ? `it has ${parts.slice(0, mostTold).join(', ')}, but what Berth shows is for all of a registry: write it under "${host}"`
      : `it has entries for ${known}; docker login ${host} adds one`
  return new CredentialError(`${file} has no entry for ${host} under "auths"`, { advice })
}
