import { STATUS_CODES } from 'node:http'
import { z } from 'zod'
import { networkFailure, type RequestFailure } from './attempts.ts'

const schema = z.looseObject({
  name: z.string().catch('Error'),
  message: z.string().catch(''),
  $metadata: z.looseObject({ httpStatusCode: z.number().optional() }).optional().catch(undefined),
  $response: z
    .looseObject({ headers: z.record(z.string(), z.string()).optional() })
    .optional()
    .catch(undefined),
})

const slowDown = [
  'SlowDown',
  'Throttling',
  'ThrottlingException',
  'TooManyRequests',
  'RequestLimitExceeded',
]
/** Keys that were replaced; the next attempt gets new ones. */
const stale = ['ExpiredToken', 'ExpiredTokenException', 'TokenRefreshRequired']
/** Keys that the store does not accept: a file may have others by now. */
const refused = ['InvalidAccessKeyId', 'SignatureDoesNotMatch', 'InvalidToken']
/** The library corrects its clock by the time in the response. */
const skewed = ['RequestTimeTooSkewed', 'RequestExpired', 'RequestInTheFuture']
/** Two conditional writes at once, of which one must look again; and a body that arrived too slowly. */
const passing = ['ConditionalRequestConflict', 'OperationAborted', 'RequestTimeout']

export type S3Failure = RequestFailure & {
  readonly code: string
  readonly status: number | undefined
  /** The next request needs others, if there are any. */
  readonly areKeysStale: boolean
}

/** What an error of AWS's library means. */
export function readS3Failure(error: unknown): S3Failure {
  const { name: code, message, $metadata, $response } = schema.parse(error)
  const status = $metadata?.httpStatusCode
  if (status === undefined || (status < 300 && !(error instanceof Error && '$fault' in error)))
    return { code, status, areKeysStale: false, ...withoutAnswer(error) }
  const retryAfter = Number($response?.headers?.['retry-after'])
  const isStale = stale.includes(code)
  const isSlowDown = slowDown.includes(code) || status === 429 || status === 503
  return {
    code,
    status,
    areKeysStale: isStale || refused.includes(code),
    failure: kindOf(code, status, isSlowDown),
    why: `${status} ${textOf(status, code, message)}`.slice(0, 500),
    advice: adviceOn(code, status),
    canRetry: isSlowDown || isStale || status >= 500 || [...skewed, ...passing].includes(code),
    retryAfter: Number.isFinite(retryAfter) ? retryAfter : undefined,
  }
}

/** The response to a HEAD has no body that says more. */
function textOf(status: number, code: string, message: string): string {
  return code === 'Unknown' ? (STATUS_CODES[status] ?? '') : `${code}: ${message}`
}

/** A failure of the provider chain has an advice of its own in its message. */
function withoutAnswer(error: unknown): RequestFailure {
  if (error instanceof Error && error.name === 'CredentialError')
    return { failure: 'denied', why: error.message, canRetry: false, isUnsigned: true }
  return networkFailure(error)
}

function kindOf(code: string, status: number, isSlowDown: boolean): RequestFailure['failure'] {
  if (code === 'NoSuchBucket') return 'gone'
  if (isSlowDown) return 'slow-down'
  const isDenied = status === 401 || status === 403 || [...stale, ...refused].includes(code)
  return isDenied ? 'denied' : 'failed'
}

function adviceOn(code: string, status: number): string | undefined {
  if (code === 'NoSuchBucket') return 'create the bucket, or correct its name'
  if (skewed.includes(code)) return "correct this machine's clock"
  if (status === 301 || code === 'PermanentRedirect' || code === 'AuthorizationHeaderMalformed')
    return "set the bucket's region"
  if (stale.includes(code))
    return 'renew the keys of Berth, or let them come from a source that renews them, such as IRSA or EKS Pod Identity'
  if (refused.includes(code))
    return 'replace the keys of Berth: they were deleted or deactivated, or the secret key is not that of the access key; keys in a file are read again by themselves'
  if (status !== 403) return undefined
  return 'grant s3:GetObject, s3:PutObject, s3:DeleteObject, s3:AbortMultipartUpload on the objects of the bucket, and s3:ListBucket on the bucket'
}
