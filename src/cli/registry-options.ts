import { type Command, Option } from 'commander'
import { z } from 'zod'
import { isLoopback, parseRegistry } from '../config/config.ts'
import { readRegularFile } from '../input/input.ts'
import { createMemory, defaultMemoryLimit, type Memory } from '../memory/memory.ts'
import { dockerHubHosts } from '../oci/docker-hub.ts'
import { parseServerUrl } from '../oci/image-location.ts'
import { type ImageReference, parseImageReference } from '../oci/image-reference.ts'
import type { Reference, RepositoryName } from '../oci/reference.ts'
import { createOutbound } from '../outbound/outbound.ts'
import type { Remote } from '../remote/remote.ts'
import { createTelemetry, type Telemetry } from '../telemetry/telemetry.ts'
import { UsageError } from './errors.ts'
import { readPassword } from './secret-input.ts'
import { openCredentials } from './upstream-credentials.ts'
import { openRemote } from './upstreams.ts'

export type Context = {
  readonly environment: Readonly<Record<string, string | undefined>>
  readonly version: string
}

/** How a command reaches a registry and logs in there. */
export type RegistryOptions = {
  readonly username?: string | undefined
  readonly passwordFile?: string | undefined
  readonly passwordStdin?: boolean
  /** From an environment variable; never from an argument. */
  readonly password?: string
  readonly credentials?: string
  readonly certificate?: string
  readonly plainHttp?: boolean
}

export const credentialTypes = ['docker-config', 'google', 'aws', 'azure', 'anonymous'] as const

export function addRegistryOptions(command: Command): Command {
  return command
    .option('-u, --username <name>', 'user name sent to the registry')
    .option('--password-file <file>', 'file with the password of --username')
    .option('--password-stdin', 'read the password of --username from standard input')
    .addOption(
      new Option(
        '--credentials <type>',
        'where the credentials come from (default: docker login, else none)',
      ).choices(credentialTypes),
    )
    .option('--certificate <file>', 'PEM file with certificate authorities to trust')
    .option('--plain-http', 'use http; the default is https, except for localhost')
}

/** The registry's address in messages, and the connection. */
export type OpenRegistry = { readonly host: string; readonly remote: Remote }

type Opening = Context & {
  /** `host[:port]`. */
  readonly host: string
  readonly options: RegistryOptions
  readonly telemetry: Telemetry
  /** Shared by several connections; otherwise all that the process may use. */
  readonly memory?: Memory
}

/** @throws UsageError, ConfigError for options that do not fit together. */
export async function openRegistry(opening: Opening): Promise<OpenRegistry> {
  const { host, options, environment, version, telemetry } = opening
  const fields = {
    url: urlOf(host, options),
    push: true,
    credentials: await credentialsOf(host, options, environment),
    certificateAuthorities: options.certificate,
    timeouts: { firstByte: '60s' },
    // Some registries are reached at an address of the cluster, and redirect to another one.
    redirects: [],
  }
  const { registry, ambient } = parseRegistry(fields, environment)
  const outbound = createOutbound(ambient)
  const credentials = openCredentials(
    registry.credentials.type === 'google'
      ? { ...registry, credentials: { ...registry.credentials, access: 'push' } }
      : registry,
    { ambient, outbound, telemetry },
  )
  const { memory = createMemory(defaultMemoryLimit()) } = opening
  const remote = openRemote(registry, { credentials, outbound, version, ...memory, telemetry })
  return { host, remote }
}

type Using = Context & { readonly host: string; readonly options: RegistryOptions }

/** Opens a registry for a command, which prints its own messages, and closes it. */
export async function withRegistry<Result>(
  using: Using,
  use: (remote: Remote) => Promise<Result>,
): Promise<Result> {
  const telemetry = createTelemetry({ level: 'silent' })
  const { remote } = await openRegistry({ ...using, telemetry })
  try {
    return await use(remote)
  } finally {
    await remote.close()
  }
}

function urlOf(host: string, { plainHttp }: RegistryOptions): string {
  if (/^https?:\/\//.test(host)) return host
  const isLocal = isLoopback(new URL(`http://${host}`).hostname.replace(/^\[|\]$/g, ''))
  const address = dockerHubHosts.includes(host) ? 'registry-1.docker.io' : host
  return `${(plainHttp ?? isLocal) ? 'http' : 'https'}://${address}`
}

async function credentialsOf(
  host: string,
  options: RegistryOptions,
  environment: Context['environment'],
): Promise<object> {
  const { username, passwordFile, passwordStdin = false } = options
  if (username === undefined) {
    if (passwordFile !== undefined || passwordStdin)
      throw new UsageError('a password needs --username')
    return { type: options.credentials ?? (await defaultCredentials(host, environment)) }
  }
  if (options.credentials !== undefined)
    throw new UsageError('--username and --credentials exclude each other')
  if (options.password !== undefined)
    return { type: 'static', username, password: options.password }
  if (passwordFile !== undefined) return { type: 'static', username, passwordFile }
  if (!passwordStdin && !process.stdin.isTTY)
    throw new UsageError('--username needs --password-file or --password-stdin')
  return { type: 'static', username, password: await readPassword(`Password of ${username}`) }
}

/** As docker and crane do: those of `docker login` if it knows the registry, else none. */
async function defaultCredentials(
  host: string,
  environment: Context['environment'],
): Promise<(typeof credentialTypes)[number]> {
  const { dockerConfig } = parseRegistry({ url: 'http://localhost' }, environment).ambient
  const text = await readRegularFile(dockerConfig).catch(() => '{}')
  const { auths, credHelpers, credsStore } = dockerSchema.parse(JSON.parse(text))
  const names = [...Object.keys(auths ?? {}), ...Object.keys(credHelpers ?? {})]
  const hasLogin = names.some((name) => parseServerUrl(name)?.host === host)
  return hasLogin || credsStore ? 'docker-config' : 'anonymous'
}

const dockerSchema = z.object({
  auths: z.record(z.string(), z.unknown()).nullish(),
  credHelpers: z.record(z.string(), z.unknown()).nullish(),
  credsStore: z.string().nullish(),
})

/** An image in a registry, as a command names it. */
export type Target = {
  readonly host: string
  readonly name: RepositoryName
  readonly reference: Reference
}

/**
 * Parses `host[:port]/name[:tag][@digest]`; the digest counts if there is one.
 * @throws UsageError
 */
export function parseTarget(text: string): Target {
  const { host, name, tag, digest } = parseNamed(text)
  if (digest !== undefined) return { host, name, reference: { digest } }
  if (tag === undefined) throw invalid(text)
  return { host, name, reference: { tag } }
}

/** Parses `host[:port]/name`. */
export function parseRepository(text: string): Omit<Target, 'reference'> {
  const { host, name } = parseNamed(text)
  return { host, name }
}

function parseNamed(text: string) {
  const parsed: ImageReference = parseImageReference(text)
  const { host, name } = parsed
  if (host === undefined || name === undefined) throw invalid(text)
  return { ...parsed, host, name }
}

function invalid(text: string): UsageError {
  return new UsageError(
    `${text}: expected HOST[:PORT]/NAME[:TAG][@DIGEST], such as localhost:30026/local/app:1.2`,
  )
}
