import { readFile } from 'node:fs/promises'
import { z } from 'zod'
import { CredentialError } from '../credential-error.ts'
import { parseJson } from '../parse-json.ts'
import { lifetimeInSeconds, tokenText } from './access-token.ts'
import type { Transport } from './transport.ts'

/** An address, not a name: it works while the cluster's DNS does not. */
const defaultHost = '169.254.169.254'

/** The email is for messages only, in milliseconds. */
const emailTimeout = 1000

const tokenSchema = z.looseObject({ access_token: tokenText, expires_in: lifetimeInSeconds })

type MetadataServer = {
  /** Without a proxy. */
  readonly transport: Transport
  /** `host[:port]`; by default the address on all of Google's machines. */
  readonly host: string | undefined
}

/** For people. */
export function describeMetadataServer(host: string | undefined): string {
  return `the metadata server at ${host ?? defaultHost}`
}

/**
 * Reads the machine's firmware instead of sending a request: outside Google Cloud a request to the
 * metadata server's address hangs, and may reach another host.
 */
export async function hasMetadataServer(): Promise<boolean> {
  const product = await readFile('/sys/class/dmi/id/product_name', 'utf8').catch(() => '')
  return product.startsWith('Google')
}

/**
 * An access token of the default service account: of the node, or of the pod where the metadata server
 * is GKE's. The library is not used, because it caches the token.
 */
export async function requestToken(
  target: MetadataServer,
  scope: string,
): Promise<{ token: string; lifetime: number | undefined }> {
  const text = await requestMetadata(target, `token?scopes=${encodeURIComponent(scope)}`)
  const { data } = tokenSchema.safeParse(parseJson(text))
  if (data === undefined)
    throw new CredentialError(
      `${describeMetadataServer(target.host)} answered without an access token`,
    )
  const { access_token: token, expires_in: lifetime } = data
  return { token, lifetime: lifetime === undefined ? undefined : lifetime * 1000 }
}

/** The email of the default service account; undefined if the server does not answer soon. */
export async function requestEmail(target: MetadataServer): Promise<string | undefined> {
  const late = Promise.withResolvers<string>()
  const timer = setTimeout(() => late.resolve(''), emailTimeout)
  const email = await Promise.race([requestMetadata(target, 'email').catch(() => ''), late.promise])
  clearTimeout(timer)
  return /^[\w.+@-]+$/.test(email.trim()) ? email.trim() : undefined
}

async function requestMetadata(
  { transport, host = defaultHost }: MetadataServer,
  path: string,
): Promise<string> {
  const { data, headers } = await transport.request<unknown>({
    url: `http://${host}/computeMetadata/v1/instance/service-accounts/default/${path}`,
    headers: { 'metadata-flavor': 'Google' },
    responseType: 'text',
  })
  if (headers.get('metadata-flavor') !== 'Google')
    throw new CredentialError(
      `${host} is not a metadata server: its answer has no header Metadata-Flavor: Google`,
      {
        advice:
          'correct $GCE_METADATA_HOST, or configure a credential file (upstreams[].credentials.file)',
      },
    )
  return String(data)
}
