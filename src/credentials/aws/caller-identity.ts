import type { ECRClient } from '@aws-sdk/client-ecr'
import { requestWhole } from '../../outbound/outbound.ts'
import type { AwsAmbient } from '../credentials-options.ts'
import { partitionOf } from './ecr-host.ts'
import type { Route } from './http-handler.ts'
import type { Keys } from './keys.ts'

type CallerOptions = {
  readonly keys: Keys
  readonly region: string
  readonly ambient: AwsAmbient
  readonly route: Route
  /** The hash of AWS's clients. */
  readonly sha256: ECRClient['config']['sha256']
}

/** In milliseconds. Short, because the identity is for messages only. */
const timeout = 2000

/** In bytes. */
const maxResponseBytes = 64 * 1024

const body = 'Action=GetCallerIdentity&Version=2011-06-15'

/**
 * The ARN of the user or role that owns the keys, without the session name, which changes. Every caller
 * may use sts:GetCallerIdentity; undefined when STS cannot be reached.
 */
export async function callerArn(options: CallerOptions): Promise<string | undefined> {
  const { outbound, certificateAuthorities } = options.route
  const connections = outbound.open({ timeout, certificateAuthorities })
  try {
    const { url, headers } = await signed(options)
    const signal = AbortSignal.timeout(timeout)
    const request = { url, method: 'POST', headers, body, signal, maxBytes: maxResponseBytes }
    const answer = await requestWhole(connections, request)
    const [, arn] = /<Arn>([^<]{1,300})<\/Arn>/.exec(answer.body.toString('utf8')) ?? []
    return arn?.replace(/(:assumed-role\/[^/]+)\/.*/, '$1')
  } catch {
    return undefined
  } finally {
    await connections.destroy()
  }
}

async function signed({ keys, region, ambient, sha256 }: CallerOptions) {
  const { SignatureV4 } = await import('@smithy/signature-v4')
  const url = new URL(ambient.stsUrl ?? `https://sts.${region}.${partitionOf(region).suffix}`)
  const signer = new SignatureV4({ service: 'sts', region, credentials: keys, sha256 })
  const { headers } = await signer.sign({
    method: 'POST',
    protocol: url.protocol,
    hostname: url.hostname,
    path: '/',
    headers: { host: url.host, 'content-type': 'application/x-www-form-urlencoded' },
    body,
  })
  return { url: new URL('/', url), headers }
}
