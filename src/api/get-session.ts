import type { FastifyRequest } from 'fastify'
import type { Auth, Identity } from '../auth/auth.ts'
import { isRegistryError, RegistryError } from '../oci/errors.ts'
import type { Session } from './answers.ts'
import type { Call, Handler } from './call.ts'
import { isSet } from './schema/requests.ts'

type SessionOptions = {
  readonly auth: Auth
  readonly version: string
  readonly title: string
  /** Undefined: the host of the request. */
  readonly pullHost: string | undefined
  readonly seesAll: (identity: Identity) => boolean
}

export function createGetSession(options: SessionOptions): Handler<'session'> {
  const { auth, version, title, pullHost, seesAll } = options

  const describe = (identity: Identity | undefined): Omit<Session, 'pullHost'> => {
    const may = (action: 'pull' | 'push' | 'delete') =>
      identity !== undefined && auth.extentOf(identity, action) !== 'none'
    return {
      version,
      title,
      identity: identity?.kind ?? 'none',
      ...(identity !== undefined && 'name' in identity && { user: identity.name }),
      login: auth.mode,
      may: { pull: may('pull'), push: may('push'), delete: may('delete') },
      seesAll: identity !== undefined && seesAll(identity),
    }
  }

  return async (call) => {
    const { login, not } = call.query
    const identity = await identityOf(call)
    if (isSet(login) && auth.mode !== 'off') assertLoggedIn(identity, not)
    return { body: { ...describe(identity), pullHost: pullHost ?? hostOf(call.request) } }
  }
}

/** Browsers keep what they sent until it is refused. */
function assertLoggedIn(identity: Identity | undefined, not: string | undefined): void {
  if (identity !== undefined && 'name' in identity && identity.name !== not) return
  throw new RegistryError('UNAUTHORIZED', { message: 'log in with a user name and a password' })
}

/** Undefined: there is no login. A wrong one is an error, so that the page can say so. */
async function identityOf({ request, identify }: Call<'session'>): Promise<Identity | undefined> {
  try {
    return await identify()
  } catch (error) {
    const isMissing = request.headers.authorization === undefined
    if (isMissing && isRegistryError(error, 'UNAUTHORIZED')) return undefined
    throw error
  }
}

function hostOf({ headers }: FastifyRequest): string {
  return headers.host ?? ''
}
