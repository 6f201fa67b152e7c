import { isRegistryError } from '../oci/errors.ts'
import { type Forwarder, UpstreamFailure } from '../remote/remote.ts'
import { inSpec } from './advice.ts'

/** Whether something is so, as a condition of Kubernetes says it. */
type Finding = {
  readonly status: 'True' | 'False' | 'Unknown'
  /** In CamelCase, for programs. */
  readonly reason: string
  /** For people: what to do. */
  readonly message: string
}

/** What a surrogate says about its registry. */
export type Report = { readonly reachable: Finding; readonly authenticated: Finding }

const reasons = {
  unreachable: 'ConnectionFailed',
  broken: 'ConnectionBroken',
  slow: 'NoAnswerInTime',
  untrusted: 'CertificateNotTrusted',
  garbled: 'NotARegistry',
  failing: 'RegistryFails',
  redirected: 'NotARegistry',
} as const

const unknown: Finding = {
  status: 'Unknown',
  reason: 'NotReachable',
  message: 'the registry cannot be reached, so it is not known whether it accepts the login',
}

type Examination = {
  readonly forwarder: Forwarder
  /** Whether a login is configured. */
  readonly hasLogin: boolean
}

/** Asks the registry at `/v2/`, without the login and with it. */
export async function examine(examination: Examination): Promise<Report> {
  const reachable = await findReachable(examination)
  if (reachable.status !== 'True') return { reachable, authenticated: unknown }
  return { reachable, authenticated: await findAuthenticated(examination) }
}

/** A report about a surrogate that cannot send requests. */
export function reportOf(reason: string, message: string): Report {
  return { reachable: { status: 'False', reason, message }, authenticated: unknown }
}

async function findReachable({ forwarder }: Examination): Promise<Finding> {
  try {
    const { isRegistry, status } = await forwarder.ping()
    if (isRegistry)
      return { status: 'True', reason: 'Answers', message: `${forwarder.origin} answers` }
    if (status >= 500)
      return failed('RegistryFails', `${forwarder.origin} answered ${status}; see its log`)
    return failed(
      'NotARegistry',
      `${forwarder.origin} answered ${status}, but not as a registry does; check host and port, and what answers there`,
    )
  } catch (error) {
    const reason = error instanceof UpstreamFailure ? reasons[error.fault] : 'ConnectionFailed'
    return failed(reason, inSpec(messageOf(error)))
  }
}

async function findAuthenticated({ forwarder, hasLogin }: Examination): Promise<Finding> {
  try {
    const answer = await forwarder.send({ method: 'GET', path: '/v2/', repository: '' })
    answer.drop()
    // An earlier login may still be in use.
    const problem = forwarder.problem()
    if (problem !== undefined) return failed('LoginNotUsable', problem)
    return hasLogin
      ? {
          status: 'True',
          reason: 'LoggedIn',
          message: `the registry accepts ${forwarder.identity()}`,
        }
      : { status: 'True', reason: 'NoLogin', message: 'the registry answers without a login' }
  } catch (error) {
    const message = inSpec(messageOf(error))
    if (isRegistryError(error, 'DENIED'))
      return failed(
        'LoginDenied',
        hasLogin ? message : `${message}; set spec.credentials.secretRef`,
      )
    if (forwarder.problem() !== undefined) return failed('LoginNotUsable', message)
    const reason = error instanceof UpstreamFailure ? reasons[error.fault] : 'LoginNotUsable'
    return failed(reason, message)
  }
}

function failed(reason: string, message: string): Finding {
  return { status: 'False', reason, message }
}

function messageOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error)
}
