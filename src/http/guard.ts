import type { IncomingMessage } from 'node:http'
import type { Action, Auth, Authentication, Identity } from '../auth/auth.ts'
import { RegistryError } from '../oci/errors.ts'
import type { RepositoryName } from '../oci/reference.ts'
import type { Resolved } from '../registry/registry.ts'
import type { Metrics } from '../telemetry/telemetry.ts'
import { countHeaders } from './count-headers.ts'
import type { CheckHost } from './host-check.ts'

/**
 * Authenticates and authorizes requests, before any lookup: a denied request must not reveal whether
 * content exists.
 */
export interface Guard {
  /**
   * Synchronous for a login that was verified before.
   * @throws RegistryError UNAUTHORIZED, and DENIED for anonymous access under an unknown Host.
   */
  identify(request: IncomingMessage): Identity | Promise<Identity>
  /**
   * The identity, if it is known and may do it. Undefined: `identify` and `authorize` decide, and count that.
   */
  admit(
    request: IncomingMessage,
    action: Action,
    resolved: Pick<Resolved, 'name' | 'anonymous'>,
  ): Identity | undefined
  /** Counts the login of what was admitted. */
  count(identity: Identity): void
  /** @throws RegistryError UNAUTHORIZED when a login could allow the action, else DENIED. */
  authorize(
    identity: Identity,
    action: Action,
    resolved: Pick<Resolved, 'name' | 'anonymous'>,
  ): void
}

type GuardOptions = {
  readonly auth: Auth
  /** Applied to anonymous requests; undefined when any Host is accepted. */
  readonly checkHost: CheckHost | undefined
  readonly metrics: Metrics
}

export function createGuard({ auth, checkHost, metrics }: GuardOptions): Guard {
  const count = metrics.auth.tally((outcome) => ({ outcome }))
  const counted = (outcome: string, error: RegistryError): RegistryError => {
    count(outcome)
    return error
  }

  const accept = (request: IncomingMessage, authentication: Authentication): Identity => {
    if (authentication === undefined)
      throw request.headers.authorization === undefined
        ? counted('challenged', notAuthenticated('credentials are required', logIn))
        : counted('wrong', notAuthenticated('user name or password is wrong', logIn))
    if (authentication.kind === 'rejected')
      throw counted('wrong', notAuthenticated(authentication.reason))
    if (!hasLoggedIn(authentication)) checkHost?.(request.headers.host)
    count(authentication.kind)
    return authentication
  }

  return {
    identify: (request) => {
      const authentication = isAmbiguous(request)
        ? undefined
        : auth.authenticate(request.headers.authorization)
      return authentication instanceof Promise
        ? authentication.then((known) => accept(request, known))
        : accept(request, authentication)
    },

    admit: (request, action, { name, anonymous }) => {
      const identity = isAmbiguous(request) ? undefined : auth.known(request.headers.authorization)
      // Without a login, the Host decides as well.
      if (identity === undefined || (checkHost !== undefined && !hasLoggedIn(identity)))
        return undefined
      return auth.allows(identity, action, name, anonymous) ? identity : undefined
    },

    count: ({ kind }) => count(kind),

    authorize: (identity, action, { name, anonymous }) => {
      if (auth.allows(identity, action, name, anonymous)) return
      if (identity.kind === 'anonymous' && auth.mode !== 'off') {
        throw counted(
          'challenged',
          new RegistryError('UNAUTHORIZED', {
            message: `anonymous users may not ${action} ${name}`,
            advice: 'log in',
          }),
        )
      }
      throw counted('denied', accessDenied(identity, action, name))
    },
  }
}

/** A proxy in front may use another one of several. */
function isAmbiguous(request: IncomingMessage): boolean {
  return request.headers.authorization !== undefined && countHeaders(request, 'authorization') > 1
}

/** Whether the request proves that it is no web page's: those have neither a password nor a token. */
export function hasLoggedIn(
  identity: Identity,
): identity is Extract<Identity, { readonly name: string }> {
  return identity.kind === 'user' || identity.kind === 'service-account'
}

const logIn = 'log in with a user name and a password'

function notAuthenticated(reason: string, advice?: string): RegistryError {
  return new RegistryError('UNAUTHORIZED', { message: `access denied: ${reason}`, advice })
}

/** Without authentication, or for anonymous users, no rule can help, so the message names none. */
function accessDenied(identity: Identity, action: Action, name: RepositoryName): RegistryError {
  const subject = hasLoggedIn(identity)
    ? `user ${identity.name}`
    : identity.kind === 'anonymous'
      ? 'anonymous users'
      : 'clients'
  const reason = identity.kind === 'anonymous' ? '' : ': no rule under auth.access allows it'
  return new RegistryError('DENIED', {
    message: `${subject} may not ${action} ${name}${reason}`,
  })
}
