import { type EcrRegistry, publicRegion } from './ecr-host.ts'
import type { Route } from './http-handler.ts'
import { clientOptions, type Keys } from './keys.ts'

type ClientOptions = {
  readonly registry: EcrRegistry
  readonly keys: Keys
  readonly profile: string | undefined
  readonly route: Route
}

type Token = {
  readonly authorizationToken?: string | undefined
  readonly expiresAt?: Date | undefined
}

/**
 * GetAuthorizationToken of ECR or ECR Public. Each client is loaded when it is used. `sha256` is the hash
 * for signatures.
 */
export async function createEcrClient({ registry, keys, profile, route }: ClientOptions) {
  const options = {
    credentials: keys,
    ...clientOptions(route),
    ...(profile !== undefined && { profile }),
  }
  if (registry.kind === 'public') {
    const { ECRPUBLICClient, GetAuthorizationTokenCommand } = await import(
      '@aws-sdk/client-ecr-public'
    )
    const client = new ECRPUBLICClient({ ...options, region: publicRegion })
    return {
      sha256: client.config.sha256,
      getToken: async (abortSignal: AbortSignal): Promise<Token | undefined> =>
        (await client.send(new GetAuthorizationTokenCommand({}), { abortSignal }))
          .authorizationData,
    }
  }
  const { ECRClient, GetAuthorizationTokenCommand } = await import('@aws-sdk/client-ecr')
  const client = new ECRClient({
    ...options,
    region: registry.region,
    ...(registry.fips && { useFipsEndpoint: true }),
    ...(registry.dualStack && { useDualstackEndpoint: true }),
  })
  return {
    sha256: client.config.sha256,
    getToken: async (abortSignal: AbortSignal): Promise<Token | undefined> =>
      (await client.send(new GetAuthorizationTokenCommand({}), { abortSignal }))
        .authorizationData?.[0],
  }
}
