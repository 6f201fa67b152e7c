import { createHash, createHmac } from 'node:crypto'
import type { Recorded } from './fake-server.ts'

/** An access key at AWS. */
export type KnownKey = {
  readonly secret: string
  /** Of a session; long-lived keys have none. */
  readonly sessionToken?: string
  /** Milliseconds since 1970. */
  readonly until: number
  /** Whose it is: an ARN. */
  readonly arn: string
}

export type Refusal = { readonly status: number; readonly code: string; readonly message: string }

type VerifyOptions = {
  readonly service: string
  readonly find: (accessKeyId: string) => KnownKey | undefined
  /** What AWS's clock says. */
  readonly now: () => number
}

/** How far a clock may be wrong, in milliseconds. */
const skew = 5 * 60_000

/**
 * Verifies a request as AWS does (Signature Version 4): the canonical request, which headers were
 * signed, the date, the session's token. The key's owner, or why not; a wrong signature is told with
 * the string that should have been signed, as AWS does, which repeats the session's token.
 */
export function verifySignature(
  request: Recorded,
  { service, find, now }: VerifyOptions,
): KnownKey | Refusal {
  const { method, path, headers, body } = request
  const [, access = '', date = '', region = '', scope = '', signed = '', signature = ''] =
    /^AWS4-HMAC-SHA256 Credential=([^/]+)\/(\d{8})\/([a-z0-9-]+)\/([a-z-]+)\/aws4_request, SignedHeaders=([a-z0-9;-]+), Signature=([0-9a-f]{64})$/.exec(
      headers.authorization ?? '',
    ) ?? []
  if (access === '')
    return refuse('MissingAuthenticationTokenException', 'Missing Authentication Token')
  const known = find(access)
  if (known === undefined || known.sessionToken !== headers['x-amz-security-token'])
    return refuse(
      'UnrecognizedClientException',
      'The security token included in the request is invalid.',
    )
  if (known.until < now())
    return refuse('ExpiredTokenException', 'The security token included in the request is expired')
  if (scope !== service)
    return refuse(
      'InvalidSignatureException',
      `Credential should be scoped to correct service: '${service}'.`,
    )

  const time = String(headers['x-amz-date'])
  const sent = Date.parse(
    time.replace(/^(\d{4})(\d\d)(\d\d)T(\d\d)(\d\d)(\d\d)Z$/, '$1-$2-$3T$4:$5:$6Z'),
  )
  if (!(Math.abs(sent - now()) <= skew))
    return refuse(
      'InvalidSignatureException',
      `Signature expired: ${time} is now earlier than ${stamp(now() - skew)} (${stamp(now())} - 5 min.)`,
    )

  const names = signed.split(';')
  const needed = ['host', 'x-amz-date', ...(known.sessionToken ? ['x-amz-security-token'] : [])]
  const unsigned = needed.filter((name) => !names.includes(name))
  if (unsigned.length > 0 || !time.startsWith(date))
    return refuse('InvalidSignatureException', `${unsigned} must be a 'SignedHeader'`)
  const canonical = [
    method,
    ...path.split('?').concat('').slice(0, 2),
    ...names.map((name) => `${name}:${String(headers[name]).trim().replace(/ +/g, ' ')}`),
    '',
    signed,
    hash(body),
  ].join('\n')
  const toSign = [
    'AWS4-HMAC-SHA256',
    time,
    `${date}/${region}/${service}/aws4_request`,
    hash(canonical),
  ].join('\n')
  const key = [date, region, service, 'aws4_request'].reduce<Buffer | string>(
    hmac,
    `AWS4${known.secret}`,
  )
  if (hmac(key, toSign).toString('hex') === signature) return known
  return refuse(
    'InvalidSignatureException',
    `The request signature we calculated does not match the signature you provided. Check your AWS Secret Access Key and signing method. Consult the service documentation for details.\n\nThe Canonical String for this request should have been\n'${canonical}'\n\nThe String-to-Sign should have been\n'${toSign}'\n`,
  )
}

function refuse(code: string, message: string, status = 400): Refusal {
  return { status, code, message }
}

function hash(text: string): string {
  return createHash('sha256').update(text).digest('hex')
}

function hmac(key: Buffer | string, text: string): Buffer {
  return createHmac('sha256', key).update(text).digest()
}

function stamp(time: number): string {
  return new Date(time).toISOString().replace(/[-:]|\.\d{3}/g, '')
}
