import { readFile } from 'node:fs/promises'
import { z } from 'zod'
import { CredentialError } from '../credential-error.ts'
import { parseJson } from '../parse-json.ts'
import { lifeInSeconds, tokenText } from './access-token.ts'
import type { Transport } from './transport.ts'

/** By address: a cluster whose DNS is ill still has it. */
const usualHost = '169.254.169.254'

/** For what is good to know and not needed, in milliseconds. */
const patience = 1000

const tokenSchema = z.looseObject({ access_token: tokenText, expires_in: lifeInSeconds })

type Question = {
  /** Past any proxy. */
  readonly transport: Transport
  /** `host[:port]`; without it the one that all of Google's machines have. */
  readonly host: string | undefined
}

/** For people. */
export function describeMetadataServer(host: string | undefined): string {
  return `the metadata server at ${host ?? usualHost}`
}

/**
 * Asks the machine's firmware, not the network: elsewhere a lookup of the metadata server hangs,
 * and goes to an address that nobody allowed.
 */
export async function hasMetadataServer(): Promise<boolean> {
  const product = await readFile('/sys/class/dmi/id/product_name', 'utf8').catch(() => '')
  return product.startsWith('Google')
}

/**
 * An access token of the default service account: of the node, or of the pod where the metadata
 * server is GKE's. Not by the library, which would keep it.
 */
export async function askForToken(
  question: Question,
  scope: string,
): Promise<{ token: string; lifetime: number | undefined }> {
  const text = await ask(question, `token?scopes=${encodeURIComponent(scope)}`)
  const { data } = tokenSchema.safeParse(parseJson(text))
  if (data === undefined)
    throw new CredentialError(`${describeMetadataServer(question.host)} answered without a token`)
  const { access_token: token, expires_in: life } = data
  return { token, lifetime: life === undefined ? undefined : life * 1000 }
}

/** Who the default service account is; undefined when that cannot be learned soon. */
export async function askForEmail(question: Question): Promise<string | undefined> {
  const late = Promise.withResolvers<string>()
  const timer = setTimeout(() => late.resolve(''), patience)
  const email = await Promise.race([ask(question, 'email').catch(() => ''), late.promise])
  clearTimeout(timer)
  return /^[\w.+@-]+$/.test(email.trim()) ? email.trim() : undefined
}

async function ask({ transport, host = usualHost }: Question, what: string): Promise<string> {
  const { data, headers } = await transport.request<unknown>({
    url: `http://${host}/computeMetadata/v1/instance/service-accounts/default/${what}`,
    headers: { 'metadata-flavor': 'Google' },
    responseType: 'text',
  })
  if (headers.get('metadata-flavor') !== 'Google')
    throw new CredentialError(`${host} answered, but is no metadata server`, {
      advice: 'correct $GCE_METADATA_HOST, or configure a credential file',
    })
  return String(data)
}
