import type { Command } from 'commander'
import { requestUserToken, type UserAccess } from '../../kubernetes/kubernetes.ts'
import { UsageError } from '../process/errors.ts'

export type ServiceAccountOptions = {
  readonly serviceAccount?: string
  readonly audience?: string
}

/** How a command logs in as a service account. No secret: the token is requested when it is needed. */
export interface ServiceAccountLogin {
  /** Its name, for messages. */
  readonly name: string
  /** A token that is valid for a while: the one from the start first, then new ones. */
  request(): Promise<string>
}

/** Seconds; the shortest that API servers give. A longer command requests another one. */
const lifetime = 600

export function addServiceAccountOptions(command: Command): Command {
  return command
    .option(
      '--service-account <name>',
      "log in as a service account, [NAMESPACE/]NAME (default: the context's namespace), by a short-lived token that the API server creates; needs the permission to create serviceaccounts/token",
    )
    .option(
      '--audience <name>',
      'audience of that token (default: that of the registry, auth.serviceAccounts.audiences)',
    )
}

type Opening = {
  readonly access: UserAccess
  readonly options: ServiceAccountOptions
  /** What the registry accepts; undefined: it does not say. */
  readonly audiences: readonly string[] | undefined
}

/** Audience of registries that do not say: that of all examples. */
const defaultAudience = 'berth'

/**
 * Undefined without the option. Requests the first token, so that a missing right is known at once.
 * @throws UsageError, KubernetesError
 */
export async function openServiceAccountLogin({
  access,
  options,
  audiences,
}: Opening): Promise<ServiceAccountLogin | undefined> {
  const { serviceAccount: text, audience: given } = options
  if (text === undefined) {
    if (given !== undefined) throw new UsageError('--audience needs --service-account')
    return undefined
  }
  if (audiences?.length === 0)
    throw new UsageError(
      `cannot log in as service account ${text}: the registry accepts no tokens of service accounts; set auth.serviceAccounts.audiences there`,
    )
  const account = parseAccount(text, access)
  const audience = given ?? audiences?.[0] ?? defaultAudience
  const create = async () => {
    const { token } = await requestUserToken(access, {
      ...account,
      audiences: [audience],
      lifetime,
    })
    return token
  }
  let first: string | undefined = await create()
  return {
    name: `${account.namespace}/${account.name}`,
    request: async () => {
      const token = first ?? (await create())
      first = undefined
      return token
    },
  }
}

function parseAccount(text: string, access: UserAccess) {
  const parts = text.split('/')
  const [namespace, name] = parts.length === 1 ? [access.namespace ?? 'default', text] : parts
  if (parts.length > 2 || !namespace || !name)
    throw new UsageError(`--service-account ${text}: expected NAME or NAMESPACE/NAME`)
  return { namespace, name }
}
