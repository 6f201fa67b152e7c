import { readRegularFile } from '../../input/input.ts'
import type { AwsAmbient, WorkloadToken } from '../credentials-options.ts'
import { isNoProvider, noProfile, noRole, toldOfKeys } from './failures.ts'
import { createAwsHandler, type Route } from './http-handler.ts'

/** What requests to AWS are signed with. */
export type Keys = {
  readonly accessKeyId: string
  readonly secretAccessKey: string
  readonly sessionToken?: string
}

type FindOptions = {
  /** Where the security token service is asked. */
  readonly region: string
  readonly profile: string | undefined
  readonly ambient: AwsAmbient
  readonly route: Route
  readonly workloadToken: WorkloadToken | undefined
}

/**
 * The agents and metadata services that give out credentials are next door: the library asks them
 * directly, past any proxy. In milliseconds.
 */
const agentTimeout = 1000

const roleAnnotation = 'eks.amazonaws.com/role-arn'

/** How AWS's services are called: through the proxy if there is one, and never for long. */
export function clientOptions(route: Route) {
  return { maxAttempts: 2, requestHandler: createAwsHandler(route) }
}

/**
 * By AWS's default provider chain, or by the token that came with the request; and, for people, where
 * they were found. Nothing that the library remembers is used: files may have changed.
 */
export async function findKeys(options: FindOptions): Promise<{ keys: Keys; source: string }> {
  const { workloadToken, ambient, profile } = options
  if (workloadToken !== undefined) return assumeRole(workloadToken, options)
  const keys = await askChain(options).catch(async (error: unknown) => {
    const token = ambient.tokenFile && (await readRegularFile(ambient.tokenFile).catch(() => ''))
    throw toldOfKeys(error, { profile, ambient, role: ambient.roleArn, token })
  })
  const source = sourceOf(keys, options)
  // The chain goes on where a profile gives none, to whose keys this machine has.
  if (profile !== undefined && !isOfProfile(keys)) throw noProfile(profile, source)
  return { keys, source }
}

async function askChain({ region, profile, ambient, route }: FindOptions) {
  const { defaultProvider } = await import('@aws-sdk/credential-provider-node')
  const services = { region: ambient.region ?? region, ...clientOptions(route) }
  const chain = defaultProvider({
    ...(profile !== undefined && { profile }),
    clientConfig: services,
    // Some of the chain look here.
    parentClientConfig: services,
    timeout: agentTimeout,
    maxRetries: 1,
    ignoreCache: true,
    // It writes to the console otherwise.
    logger: silent,
  })
  try {
    return await chain()
  } catch (error) {
    if (!isNoProvider(error) || ambient.containerUrl === undefined) throw error
    // The chain ends with a provider that does not know EKS's agent, and so hides what that said.
    const { fromHttp } = await import('@aws-sdk/credential-provider-http')
    return fromHttp({ timeout: agentTimeout, maxRetries: 0, logger: silent })()
  }
}

async function assumeRole({ token, annotations }: WorkloadToken, options: FindOptions) {
  const { ambient, route, region } = options
  const role = annotations[roleAnnotation] ?? ambient.roleArn
  if (role === undefined) throw noRole(roleAnnotation, token)
  const { fromWebToken } = await import('@aws-sdk/credential-provider-web-identity')
  const provider = fromWebToken({
    roleArn: role,
    roleSessionName: 'berth',
    webIdentityToken: token,
    clientConfig: { region: ambient.region ?? region, ...clientOptions(route) },
  })
  try {
    const keys = await provider()
    return { keys, source: `the service account's token, for the role ${role}` }
  } catch (error) {
    throw toldOfKeys(error, { profile: undefined, ambient: {}, role, token })
  }
}

/** The library marks keys with where it has them from, all but those of the metadata service. */
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
  return 'the instance metadata service, which has those of the role of this machine'
}

function isOfProfile(keys: object): boolean {
  return marksOf(keys).some((mark) => /^CREDENTIALS_(PROFILE|PROCESS|SSO|LOGIN)/.test(mark))
}

function marksOf(keys: object): readonly string[] {
  return '$source' in keys && typeof keys.$source === 'object'
    ? Object.keys(keys.$source ?? {})
    : []
}

/** The path of ECS's agent is a secret of its own. */
function originOf(url = ''): string {
  return URL.parse(url)?.origin ?? 'the address in AWS_CONTAINER_CREDENTIALS_FULL_URI'
}

const silent = { debug: () => {}, info: () => {}, warn: () => {}, error: () => {} }
