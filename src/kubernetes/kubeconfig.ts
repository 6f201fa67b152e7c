import { existsSync } from 'node:fs'
import type { RequestOptions } from 'node:https'
import { homedir } from 'node:os'
import { delimiter, join } from 'node:path'
import { getCACertificates } from 'node:tls'
// The type alone: the module is loaded when a command needs it, which takes half a second.
import type { KubeConfig } from '@kubernetes/client-node/dist/config.js'
import { serviceAccountDirectory } from './cluster.ts'
import { KubernetesError } from './kubernetes-error.ts'
import { createOidcLogin, type OidcLogin, storeTokens } from './oidc-login.ts'

export type KubeconfigOptions = {
  /** File; default: those of $KUBECONFIG, else ~/.kube/config, else the service account of a pod. */
  readonly kubeconfig?: string | undefined
  readonly context?: string | undefined
  readonly environment: Readonly<Record<string, string | undefined>>
  /** URL of the forward proxy for a server, unless the kubeconfig names one. */
  readonly proxyFor?: (server: URL) => string | undefined
}

/** Who the user is, for which cluster. */
export interface UserAccess {
  readonly context: string
  readonly server: URL
  /** The context's namespace. */
  readonly namespace: string | undefined
  /** Options for a request: address of a proxy, certificates, and headers with fresh credentials. */
  requestOptions(): Promise<RequestOptions>
}

/**
 * The user's kubeconfig, with whatever it says about authentication: exec plugins, OIDC, certificates, tokens.
 * @throws KubernetesError for a kubeconfig that cannot be read, or has no such context.
 */
export async function loadUserAccess(options: KubeconfigOptions): Promise<UserAccess> {
  const config = await load(options)
  const context = config.getContextObject(config.getCurrentContext())
  if (context === null) throw noContext(config)
  const cluster = config.getCurrentCluster()
  if (cluster === null)
    throw new KubernetesError(
      `context ${context.name}: the kubeconfig has no cluster ${context.cluster}`,
    )
  const server = new URL(cluster.server)
  const oidc = createOidcLogin({
    onRenewed: async (tokens) => {
      const file = fileOf(await filesOf(options), context.user)
      if (file !== undefined) await storeTokens({ file, user: context.user }, tokens)
    },
  })
  return {
    context: context.name,
    server,
    namespace: context.namespace,
    requestOptions: async () => {
      // Loaded anew: certificates and tokens in files are rotated.
      const current = await load(options)
      prepare(current, server, options)
      const request: RequestOptions = {}
      try {
        await logInByOidc(current, oidc)
        await current.applyToHTTPSOptions(request)
      } catch (cause) {
        throw new KubernetesError(
          `cannot authenticate as the user of context ${context.name}: ${cause instanceof Error ? cause.message : cause}`,
          { cause },
        )
      }
      return request
    },
  }
}

async function load({ kubeconfig, context, environment }: KubeconfigOptions): Promise<KubeConfig> {
  const module = await import('@kubernetes/client-node/dist/config.js')
  const config = new module.KubeConfig()
  const parts = await filesOf({ kubeconfig, environment })
  if (parts.length > 0)
    merge(
      config,
      parts.map(({ config: part }) => part),
    )
  else if (existsSync(join(serviceAccountDirectory, 'token'))) config.loadFromCluster()
  else
    throw new KubernetesError(
      'found no kubeconfig, through which a registry in a cluster is reached: name one with --kubeconfig, or set KUBECONFIG; ~/.kube/config does not exist. The commands of berth image need none',
    )
  if (context !== undefined) config.setCurrentContext(context)
  return config
}

type Part = { readonly file: string; readonly config: KubeConfig }

/** The files that count, in the order of their precedence. */
async function filesOf({
  kubeconfig,
  environment,
}: Pick<KubeconfigOptions, 'kubeconfig' | 'environment'>): Promise<readonly Part[]> {
  const module = await import('@kubernetes/client-node/dist/config.js')
  const files = kubeconfig === undefined ? defaultFiles(environment) : [kubeconfig]
  return files.map((file) => ({ file, config: read(new module.KubeConfig(), file) }))
}

/** The file that defines a user. */
function fileOf(parts: readonly Part[], user: string): string | undefined {
  return parts.find(({ config }) => config.getUsers().some(({ name }) => name === user))?.file
}

/** The id token is a Bearer token from here on. */
async function logInByOidc(config: KubeConfig, oidc: OidcLogin): Promise<void> {
  const user = config.getCurrentUser()
  if (user?.authProvider?.name !== 'oidc') return
  const token = await oidc.idToken(user.authProvider.config ?? {})
  Object.assign(user, { authProvider: undefined, token })
}

/** As kubectl does, files of the list that do not exist are ignored. */
function defaultFiles(environment: KubeconfigOptions['environment']): readonly string[] {
  const listed = (environment['KUBECONFIG'] ?? '').split(delimiter).filter(Boolean)
  const files =
    listed.length > 0 ? listed : [join(environment['HOME'] ?? homedir(), '.kube/config')]
  return files.filter((file) => existsSync(file))
}

function read(config: KubeConfig, file: string): KubeConfig {
  try {
    config.loadFromFile(file)
    return config
  } catch (cause) {
    const reason = cause instanceof Error ? cause.message : cause
    throw new KubernetesError(`cannot read the kubeconfig ${file}: ${reason}`, { cause })
  }
}

/** As kubectl does: the first file that sets a value or defines a name wins. */
function merge(config: KubeConfig, parts: readonly KubeConfig[]): void {
  config.loadFromOptions({
    clusters: firstOfEach(parts.flatMap((part) => part.getClusters())),
    users: firstOfEach(parts.flatMap((part) => part.getUsers())),
    contexts: firstOfEach(parts.flatMap((part) => part.getContexts())),
    currentContext: parts.map((part) => part.getCurrentContext()).find(Boolean) ?? '',
  })
}

function firstOfEach<Named extends { readonly name: string }>(all: readonly Named[]): Named[] {
  const found = new Map<string, Named>()
  for (const one of all) if (!found.has(one.name)) found.set(one.name, one)
  return [...found.values()]
}

/** What kubectl adds to a kubeconfig, and the library does not. */
function prepare(config: KubeConfig, server: URL, { proxyFor }: KubeconfigOptions): void {
  const [cluster, user] = [config.getCurrentCluster(), config.getCurrentUser()]
  if (cluster !== null) {
    const proxyUrl = cluster.proxyUrl ?? proxyFor?.(server)
    // Companies install their authority in the system, which Node does not read by itself.
    const hasAuthority = cluster.caFile !== undefined || cluster.caData !== undefined
    const needsSystem = !hasAuthority && server.protocol === 'https:' && !cluster.skipTLSVerify
    const system = () =>
      [...getCACertificates('default'), ...getCACertificates('system')].join('\n')
    Object.assign(cluster, {
      ...(proxyUrl !== undefined && { proxyUrl }),
      ...(needsSystem && { caData: Buffer.from(system()).toString('base64') }),
      // The library's word for a plain connection; there is nothing to verify.
      ...(server.protocol === 'http:' && { skipTLSVerify: true }),
    })
  }
  if (user?.exec) user.exec.env = [...(user.exec.env ?? []), execInfo(user.exec.apiVersion)]
}

/** Plugins read from it which version to answer with, and that nobody can be asked. */
function execInfo(apiVersion: unknown) {
  const version = typeof apiVersion === 'string' ? apiVersion : 'client.authentication.k8s.io/v1'
  const value = { apiVersion: version, kind: 'ExecCredential', spec: { interactive: false } }
  return { name: 'KUBERNETES_EXEC_INFO', value: JSON.stringify(value) }
}

function noContext(config: KubeConfig): KubernetesError {
  const known = config.getContexts().map(({ name }) => name)
  const wanted = config.getCurrentContext()
  return new KubernetesError(
    wanted
      ? `the kubeconfig has no context ${wanted}; it has: ${known.join(', ')}`
      : `the kubeconfig has no current context; choose one with --context: ${known.join(', ')}`,
  )
}
