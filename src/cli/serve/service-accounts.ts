import {
  createKeySet,
  createReviewedTokens,
  createSignedTokens,
  type IssuerKeys,
  type TokenVerifier,
} from '../../auth/auth.ts'
import type { Ambient, Config } from '../../config/config.ts'
import { fetchClusterKeys, fetchPublishedKeys, reviewToken } from '../../kubernetes/kubernetes.ts'
import type { Outbound } from '../../outbound/outbound.ts'
import type { Telemetry } from '../../telemetry/telemetry.ts'
import { apiServerClient } from './api-server.ts'

type Options = {
  readonly config: NonNullable<Config['auth']['serviceAccounts']>
  readonly ambient: Ambient
  readonly outbound: Outbound
  readonly telemetry: Telemetry
}

/** Milliseconds to connect to an issuer. */
const connectTimeout = 5000

/** @throws Error outside a cluster, if the API server should be asked. */
export function openServiceAccounts(options: Options): TokenVerifier {
  const { config, telemetry } = options
  const verifier = createVerifier(options)
  const { metrics } = telemetry
  metrics.onScrape(() => metrics.serviceAccountsStale.set(verifier.problem() === undefined ? 0 : 1))
  telemetry.log.info(
    { method: config.method, audiences: config.audiences },
    'service account tokens are accepted',
  )
  return verifier
}

function createVerifier({ config, ambient, outbound, telemetry }: Options): TokenVerifier {
  const { audiences, issuer } = config
  const { log } = telemetry
  const signed = (fetchKeys: () => Promise<IssuerKeys>, closeSource: () => Promise<unknown>) => {
    const keys = createKeySet({ fetchKeys, log })
    const verifier = createSignedTokens({ keys, audiences, issuer })
    const close = async () => {
      await verifier.close()
      await closeSource()
    }
    return { ...verifier, close }
  }
  switch (config.method) {
    case 'keys': {
      const client = apiClient(ambient)
      return signed(() => fetchClusterKeys(client), client.close)
    }
    case 'published-keys': {
      const connections = outbound.open({ timeout: connectTimeout })
      const publisher = { connections, issuer: issuer ?? '' }
      return signed(() => fetchPublishedKeys(publisher), connections.destroy)
    }
    case 'token-review': {
      const client = apiClient(ambient)
      const review = (token: string, wanted: readonly string[]) =>
        reviewToken(client, token, wanted)
      return createReviewedTokens({ review, audiences, log, close: client.close })
    }
  }
}

function apiClient(ambient: Ambient) {
  const client = apiServerClient(ambient)
  if (client !== undefined) return client
  throw new Error(
    'auth.serviceAccounts works only in a pod, because $KUBERNETES_SERVICE_HOST is not set; elsewhere, set method: published-keys and the issuer',
  )
}
