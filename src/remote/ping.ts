import type { Credentials } from '../credentials/credentials.ts'
import { type Challenge, parseChallenges } from './challenge.ts'
import type { Origins } from './origins.ts'
import { accessMode } from './token-endpoint.ts'
import type { Transport } from './transport.ts'

/** The answer of a registry at `/v2/` to a request without a credential. */
export type PingResult = {
  readonly status: number
  /** The answer is that of a registry. */
  readonly isRegistry: boolean
  readonly challenges: readonly (Challenge & {
    /** Whether the realm may receive our credential; true if the challenge names no realm. */
    readonly allowed: boolean
  })[]
}

type PingOptions = {
  readonly base: URL
  readonly transport: Transport
  readonly origins: Origins
  readonly credentials: Pick<Credentials, 'current'>
}

/** @throws RegistryError UNAVAILABLE when there is no answer. */
export async function ping({
  base,
  transport,
  origins,
  credentials,
}: PingOptions): Promise<PingResult> {
  const url = new URL(`${base.pathname.replace(/\/$/, '')}/v2/`, base)
  const answer = await transport.send({ method: 'GET', url, trust: 'own', headers: {} })
  answer.drop()
  const sent = await credentials.current().then(accessMode, () => 'credential' as const)
  const challenges = parseChallenges(answer.header('www-authenticate') ?? '').map((challenge) => {
    const realm = URL.parse(challenge.parameters['realm'] ?? '')
    const allowed = challenge.scheme !== 'bearer' || realm === null || origins.realm(realm, sent)
    return { ...challenge, allowed: allowed !== undefined }
  })
  const says = answer.header('docker-distribution-api-version') !== undefined
  const isRegistry = says || answer.status === 200 || challenges.length > 0
  return { status: answer.status, isRegistry, challenges }
}
