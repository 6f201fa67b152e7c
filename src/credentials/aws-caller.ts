import type { ECRClient } from '@aws-sdk/client-ecr'
import { EnvHttpProxyAgent, request } from 'undici'
import type { Keys } from './aws-keys.ts'
import type { AwsAmbient } from './credentials.ts'
import { partitionOf } from './ecr-host.ts'

type CallerOptions = {
  readonly keys: Keys
  readonly region: string
  readonly ambient: AwsAmbient
  /** The hash that AWS's own clients sign with. */
  readonly sha256: ECRClient['config']['sha256']
}

/** It is for messages only, and nobody waits longer for it, in milliseconds. */
const patience = 2000

const body = 'Action=GetCallerIdentity&Version=2011-06-15'

/**
 * Whose keys these are: the ARN of a user or role, without the name of the session, which changes.
 * STS tells it to everybody; undefined where it cannot be asked.
 */
export async function callerArn(options: CallerOptions): Promise<string | undefined> {
  const { http, https, no } = options.ambient.proxy ?? {}
  const dispatcher = new EnvHttpProxyAgent({
    httpProxy: http ?? '',
    httpsProxy: https ?? '',
    noProxy: no ?? '',
  })
  try {
    const { url, headers } = await signed(options)
    const signal = AbortSignal.timeout(patience)
    const answer = await request(url, { method: 'POST', headers, body, dispatcher, signal })
    const [, arn] = /<Arn>([^<]{1,300})<\/Arn>/.exec(await answer.body.text()) ?? []
    return arn?.replace(/(:assumed-role\/[^/]+)\/.*/, '$1')
  } catch {
    return undefined
  } finally {
    await dispatcher.destroy()
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
