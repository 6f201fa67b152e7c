import type { Credentials } from '../credentials/credentials.ts'
import type { CacheMemory } from '../memory/memory.ts'
import type { Metrics } from '../telemetry/telemetry.ts'
import { createAuthorization } from './authorization.ts'
import { createOrigins } from './origins.ts'
import { type PingResult, ping } from './ping.ts'
import { createSending, type OutgoingRequest } from './sending.ts'
import type { Answer, Transport } from './transport.ts'

type ForwarderOptions = {
  /** The registry's name in metrics. */
  readonly upstream: string
  /** Origin of the registry. */
  readonly url: string
  readonly credentials: Credentials
  readonly tokenRealms: readonly string[]
  readonly redirects: readonly string[]
  /** Closed with the forwarder. */
  readonly transport: Transport
  readonly caches: CacheMemory
  readonly metrics: Metrics
}

/** A request of a client, and what the registry answers to it. */
export type Forwarded = OutgoingRequest
export type ForwardedAnswer = Answer

/**
 * Hands requests on to one registry, each once, with our credential and through its redirects. Slots, throttles and
 * breakers are for upstreams: here the client decides when it tries again.
 */
export interface Forwarder {
  readonly origin: string
  /** Who we are for the registry. */
  identity(): string
  /** Why there is no credential at the moment, if so. */
  problem(): string | undefined
  /** @throws RegistryError for 401, 403, 429 and 5XX, and for a registry that does not answer. */
  send(request: Forwarded): Promise<ForwardedAnswer>
  /** The answer to a request without a credential. */
  ping(): Promise<PingResult>
  close(): Promise<void>
}

export function createForwarder(options: ForwarderOptions): Forwarder {
  const { upstream, url, credentials, transport, caches, metrics } = options
  const { tokenRealms: realms, redirects } = options
  const base = new URL(url)
  const { origin } = base
  const origins = createOrigins({ own: origin, realms, redirects })
  const authorization = createAuthorization({ origin, credentials, origins, transport, caches })
  const sending = createSending({
    ...{ base, upstream, credentials, transport, authorization, origins, metrics },
  })
  return {
    origin,
    identity: credentials.identity,
    problem: credentials.problem,
    send: sending.send,
    ping: () => ping({ base, transport, origins, credentials }),
    close: async () => {
      credentials.close()
      await transport.close()
    },
  }
}
