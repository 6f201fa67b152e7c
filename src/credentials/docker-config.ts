import { z } from 'zod'
import type { Credential, CredentialSource } from './credentials.ts'
import { readJsonFile } from './json-file.ts'

/** How soon a changed file counts, in milliseconds. */
const rereadAfter = 30_000

const entrySchema = z.looseObject({
  auth: z.string().optional(),
  username: z.string().optional(),
  password: z.string().optional(),
  identitytoken: z.string().optional(),
})
const schema = z.looseObject({ auths: z.record(z.string(), entrySchema).default({}) })

/** docker's name for Docker Hub in its configuration, from before registries had hosts. */
const hubKey = 'https://index.docker.io/v1/'
const hubHosts = new Set(['docker.io', 'index.docker.io', 'registry-1.docker.io'])

type DockerConfigOptions = { readonly file: string; readonly host: string }

/**
 * The entry for `host` under `auths` of a docker `config.json`, or of the `.dockerconfigjson` of an
 * imagePullSecret, which may hold only `auth`. A file without such an entry is an error: it was
 * configured because the upstream needs it.
 */
export function createDockerConfigSource({ file, host }: DockerConfigOptions): CredentialSource {
  let username = `the entry for ${host} in ${file}`
  return {
    identity: () => username,
    source: () => `the entry for ${host} in ${file}`,
    fetch: async () => {
      const { auths } = await readJsonFile(file, schema)
      const key = keysFor(host).find((candidate) => candidate in auths)
      const entry = key === undefined ? undefined : auths[key]
      if (entry === undefined) throw new Error(`${file} has no entry for ${host} under "auths"`)
      const credential = credentialOf(entry, `the entry for ${host} in ${file}`)
      username = credential.username
      return { credential, refreshAfter: rereadAfter }
    },
  }
}

function keysFor(host: string): readonly string[] {
  const names = hubHosts.has(host) ? [hubKey, ...hubHosts] : [host]
  return names.flatMap((name) => [
    name,
    `https://${name}`,
    `https://${name}/`,
    `https://${name}/v1/`,
    `https://${name}/v2/`,
  ])
}

function credentialOf(
  entry: z.infer<typeof entrySchema>,
  where: string,
): Credential & { kind: 'password' } {
  if (entry.identitytoken)
    throw new Error(`${where} is an identity token, which this version cannot use`)
  const decoded = Buffer.from(entry.auth ?? '', 'base64').toString('utf8')
  const colon = decoded.indexOf(':')
  const username = colon > 0 ? decoded.slice(0, colon) : entry.username
  // Docker pads what it writes with NUL bytes at times; its own reader takes them off as well.
  const password = colon > 0 ? decoded.slice(colon + 1).replace(/\0+$/, '') : entry.password
  if (!username || password === undefined)
    throw new Error(`${where} has neither "auth" nor "username" and "password"`)
  return { kind: 'password', username, password }
}
