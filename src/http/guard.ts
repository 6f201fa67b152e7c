import type { FastifyRequest } from 'fastify'
import type { Action, Auth, Identity } from '../auth/auth.ts'
import { RegistryError } from '../oci/errors.ts'
import type { RepositoryName } from '../oci/reference.ts'
import type { Resolved } from '../registry/registry.ts'
import type { Metrics } from '../telemetry/telemetry.ts'
import type { CheckHost } from './host-check.ts'

/**
 * Decides who asks and whether they may, before anything is looked up that could tell them of
 * content.
 */
export interface Guard {
  /** @throws RegistryError UNAUTHORIZED, and DENIED for a Host that is not ours. */
  identify(request: FastifyRequest): Promise<Identity>
  /** @throws RegistryError UNAUTHORIZED when saying who one is could help, else DENIED. */
  authorize(
    identity: Identity,
    action: Action,
    resolved: Pick<Resolved, 'name' | 'anonymous'>,
  ): void
}

type GuardOptions = {
  readonly auth: Auth
  /** For those who do not log in; undefined where any name will do. */
  readonly checkHost: CheckHost | undefined
  readonly metrics: Metrics
}

export function createGuard({ auth, checkHost, metrics }: GuardOptions): Guard {
  const counted = (outcome: string, error: RegistryError): RegistryError => {
    metrics.auth.inc({ outcome })
    return error
  }

  return {
    identify: async (request) => {
      const authorization = singleHeader(request, 'authorization')
      const identity =
        authorization === 'several' ? undefined : await auth.authenticate(authorization)
      if (identity === undefined) {
        const outcome = authorization === undefined ? 'challenged' : 'wrong'
        throw counted(
          outcome,
          new RegistryError('UNAUTHORIZED', { message: 'log in with a user name and a password' }),
        )
      }
      if (identity.kind !== 'user') checkHost?.(request.headers.host)
      metrics.auth.inc({ outcome: identity.kind })
      return identity
    },

    authorize: (identity, action, { name, anonymous }) => {
      if (auth.allows(identity, action, name, anonymous)) return
      if (identity.kind === 'anonymous' && auth.mode !== 'off') {
        throw counted(
          'challenged',
          new RegistryError('UNAUTHORIZED', { message: `log in to ${action} ${name}` }),
        )
      }
      throw counted('denied', accessDenied(identity, action, name))
    },
  }
}

/** Anonymous users are told of a rule only where one could let them in. */
function accessDenied(identity: Identity, action: Action, name: RepositoryName): RegistryError {
  const subject =
    identity.kind === 'user'
      ? `user ${identity.name}`
      : identity.kind === 'anonymous'
        ? 'anonymous users'
        : 'clients'
  const advice = identity.kind === 'anonymous' ? '' : ': no rule under auth.access allows it'
  return new RegistryError('DENIED', { message: `${subject} may not ${action} ${name}${advice}` })
}

/** Node keeps the first of several; which one counts must not be a matter of taste. */
function singleHeader(
  request: FastifyRequest,
  name: 'authorization',
): string | 'several' | undefined {
  const value = request.headers[name]
  if (value === undefined) return undefined
  const names = request.raw.rawHeaders.filter(
    (header, at) => at % 2 === 0 && header.toLowerCase() === name,
  )
  return names.length > 1 ? 'several' : value
}
