import { readRegularFile } from '../../input/input.ts'
import type { AwsAmbient, WorkloadToken } from '../credentials-options.ts'
import { isNoProvider, keysError, noProfileError, noRoleError } from './failures.ts'
import { createAwsHandler, type Route } from './http-handler.ts'

/** AWS keys, which sign requests. */
export type Keys = {
  readonly accessKeyId: string
  readonly secretAccessKey: string
  readonly sessionToken?: string
  readonly expiration?: Date
}

type FindOptions = {
  /** Of the security token service. */
  readonly region: string
  readonly profile: string | undefined
  readonly ambient: AwsAmbient
  readonly route: Route
  readonly workloadToken?: WorkloadToken | undefined
}

/**
 * For agents and metadata services, in milliseconds: they are on the same machine, and the library
 * connects to them without a proxy.
 */
const agentTimeout = 1000

const roleAnnotation = 'eks.amazonaws.com/role-arn'

/** For all clients of AWS services: our connections, with a proxy if one is configured, and few attempts. */
export function clientOptions(route: Route) {
  return { maxAttempts: 2, requestHandler: createAwsHandler(route) }
}

/**
 * Keys from AWS's default provider chain, or in exchange for the kubelet's token; with their source for
 * messages. The library's caches are not used, because files may have changed.
 */
export async function findKeys(options: FindOptions): Promise<{ keys: Keys; source: string }> {
  const { workloadToken, ambient, profile } = options
  if (workloadToken !== undefined) return assumeRole(workloadToken, options)
  const keys = await runProviderChain(options).catch(async (error: unknown) => {
    const token = ambient.tokenFile && (await readRegularFile(ambient.tokenFile).catch(() => ''))
    throw keysError(error, { profile, ambient, role: ambient.roleArn, token })
  })
  const source = sourceOf(keys, options)
  // When a profile has no keys the chain continues, up to the keys of this machine.
  if (profile !== undefined && !isOfProfile(keys)) throw noProfileError(profile, source)
  return { keys, source }
}

async function runProviderChain({ region, profile, ambient, route }: FindOptions) {
  const { defaultProvider } = await import('@aws-sdk/credential-provider-node')
  const services = { region: ambient.region ?? region, ...clientOptions(route) }
  const chain = defaultProvider({
    ...(profile !== undefined && { profile }),
    clientConfig: services,
    // Some providers of the chain read this option.
    parentClientConfig: services,
    timeout: agentTimeout,
    maxRetries: 1,
    ignoreCache: true,
    // By default the library writes to the console.
    logger: silent,
  })
  try {
    return await chain()
  } catch (error) {
    if (!isNoProvider(error) || ambient.containerUrl === undefined) throw error
    // The last provider of the chain does not support EKS's agent, and hides the agent's error.
    const { fromHttp } = await import('@aws-sdk/credential-provider-http')
    return fromHttp({ timeout: agentTimeout, maxRetries: 0, logger: silent })()
  }
}

async function assumeRole({ token, annotations }: WorkloadToken, options: FindOptions) {
  const { ambient, route, region } = options
  const role = annotations[roleAnnotation] ?? ambient.roleArn
  if (role === undefined) throw noRoleError(roleAnnotation, token)
  const { fromWebToken } = await import('@aws-sdk/credential-provider-web-identity')
  const provider = fromWebToken({
    roleArn: role,
    roleSessionName: 'berth',
    webIdentityToken: token,
    clientConfig: { region: ambient.region ?? region, ...clientOptions(route) },
  })
  try {
    const keys = await provider()
    return { keys, source: `the service account's token from the kubelet, for the role ${role}` }
  } catch (error) {
    throw keysError(error, { profile: undefined, ambient: {}, role, token })
  }
}

/** The library marks keys with their source, except those of the metadata service. */
function sourceOf(keys: object, { profile, ambient }: FindOptions): string {
  const marks = marksOf(keys)
  if (marks.includes('CREDENTIALS_ENV_VARS'))
    return 'the environment variables AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY'
  if (marks.includes('CREDENTIALS_ENV_VARS_STS_WEB_ID_TOKEN'))
    return `web identity (IRSA): the token in ${ambient.tokenFile}, for the role ${ambient.roleArn}`
  if (marks.includes('CREDENTIALS_HTTP'))
    return `the agent at ${originOf(ambient.containerUrl)} (EKS Pod Identity, ECS)`
  if (isOfProfile(keys))
    return `the profile ${profile ?? ambient.profile ?? 'default'} of AWS's configuration files`
  return 'the instance metadata service (the role of this machine)'
}

function isOfProfile(keys: object): boolean {
  return marksOf(keys).some((mark) => /^CREDENTIALS_(PROFILE|PROCESS|SSO|LOGIN)/.test(mark))
}

function marksOf(keys: object): readonly string[] {
  return '$source' in keys && typeof keys.$source === 'object'
    ? Object.keys(keys.$source ?? {})
    : []
}

/** Only the origin: the path of ECS's agent is a secret. */
function originOf(url = ''): string {
  return URL.parse(url)?.origin ?? 'the address in AWS_CONTAINER_CREDENTIALS_FULL_URI'
}

const silent = { debug: () => {}, info: () => {}, warn: () => {}, error: () => {} }
