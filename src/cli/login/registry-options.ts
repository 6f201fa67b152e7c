import { isLoopback, parseRegistry } from '../../config/config.ts'
import { createMemory, defaultMemoryLimit, type Memory } from '../../memory/memory.ts'
import { dockerHubHosts } from '../../oci/docker-hub.ts'
import { type ImageReference, parseImageReference } from '../../oci/image-reference.ts'
import type { Reference, RepositoryName } from '../../oci/reference.ts'
import { isRegistryHost } from '../../oci/registry-host.ts'
import { createOutbound, type OutboundTunnel } from '../../outbound/outbound.ts'
import type { Remote } from '../../remote/remote.ts'
import { createTelemetry, type Telemetry } from '../../telemetry/telemetry.ts'
import { openCredentials, openToken, withPushAccess } from '../credentials/upstream-credentials.ts'
import { UsageError } from '../process/errors.ts'
import { openRemote } from '../serve/upstreams.ts'
import {
  assertReadableSecrets,
  hasLogin,
  type Login,
  type RegistryOptions,
  readLogin,
} from './registry-login.ts'
import type { ServiceAccountLogin } from './service-account-login.ts'

export type Context = {
  readonly environment: Readonly<Record<string, string | undefined>>
  readonly version: string
  /** A registry that is reached through it, in place of connections to its host. */
  readonly tunnel?: RegistryTunnel | undefined
}

type RegistryTunnel = OutboundTunnel & {
  readonly scheme: 'http' | 'https'
  /** For the registry at its end, and no other. */
  readonly login?: ServiceAccountLogin | undefined
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
  const { host, options, environment, version, telemetry, tunnel } = opening
  const login = await loginFor(opening)
  const fields = {
    url: tunnel?.host === host ? `${tunnel.scheme}://${host}` : urlOf(host, options),
    push: true,
    credentials: login.kind === 'fields' ? login.fields : { type: 'anonymous' },
    certificateAuthorities: options.certificate,
    timeouts: { firstByte: '60s' },
    // Some registries are reached at an address of the cluster, and redirect to another one.
    redirects: [],
  }
  const { registry, ambient } = parseRegistry(fields, environment)
  const outbound = createOutbound({ ...ambient, tunnel })
  const context = { ambient, outbound, telemetry }
  const credentials =
    login.kind === 'token'
      ? openToken(registry, login, context)
      : openCredentials(withPushAccess(registry), context)
  const { memory = createMemory(defaultMemoryLimit()) } = opening
  const isAnonymous = login.kind === 'fields' && registry.credentials.type === 'anonymous'
  const remote = openRemote(registry, {
    ...{ outbound, version, ...memory, telemetry },
    credentials: isAnonymous ? { ...credentials, advice: () => loginAdvice } : credentials,
  })
  return { host, remote }
}

const loginAdvice =
  'log in: --username and --password-file, --token-file, --credentials, or docker login'

async function loginFor({ host, options, environment, tunnel }: Opening): Promise<Login> {
  const account = tunnel?.host === host ? tunnel.login : undefined
  if (account === undefined) return readLogin(host, options, environment)
  if (hasLogin(options))
    throw new UsageError(
      `choose one login for ${host}: --service-account, or --username, --token-file or --credentials`,
    )
  return { kind: 'token', request: account.request }
}

type Using = Context & { readonly host: string; readonly options: RegistryOptions }

/** Opens a registry for a command, which prints its own messages, and closes it. */
export async function withRegistry<Result>(
  using: Using,
  use: (remote: Remote) => Promise<Result>,
): Promise<Result> {
  await assertReadableSecrets(using.options)
  const telemetry = createTelemetry({ level: 'silent' })
  const { remote } = await openRegistry({ ...using, telemetry })
  try {
    return await use(remote)
  } finally {
    await remote.close()
  }
}

function urlOf(host: string, { plainHttp, certificate }: RegistryOptions): string {
  if (/^https?:\/\//.test(host)) return host
  const isLocal =
    certificate === undefined &&
    isLoopback(new URL(`http://${host}`).hostname.replace(/^\[|\]$/g, ''))
  const address = dockerHubHosts.includes(host) ? 'registry-1.docker.io' : host
  return `${(plainHttp ?? isLocal) ? 'http' : 'https'}://${address}`
}

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

/** A registry, one repository of it, or those whose names begin with a prefix. */
type Place = { readonly host: string; readonly name?: RepositoryName; readonly prefix: string }

/**
 * Parses `host[:port]`, `host[:port]/name` or `host[:port]/prefix/`; without a host, it is in `registry`.
 * @throws UsageError
 */
export function parsePlace(text: string, registry: string): Place {
  const bare = text.replace(/^https?:\/\//, '')
  const isHost = /^[^/]+\/?$/.test(bare) && /[.:]|^localhost\/?$/.test(bare)
  if (isHost) return { host: hostOf(bare.replace(/\/$/, ''), text), prefix: '' }
  const { host = registry, name } = parseImageReference(bare.replace(/\/$/, ''))
  if (name === undefined) throw invalid(text)
  return bare.endsWith('/') ? { host, prefix: `${name}/` } : { host, name, prefix: '' }
}

function hostOf(host: string, text: string): string {
  if (!isRegistryHost(host)) throw invalid(text)
  return host.toLowerCase()
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
