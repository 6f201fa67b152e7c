import { hash as digest, randomBytes } from 'node:crypto'
import { availableParallelism } from 'node:os'
import { hash as bcrypt, verify } from '@node-rs/bcrypt'
import { LRUCache } from 'lru-cache'
import { bounded } from '../oci/bounded.ts'
import { RegistryError } from '../oci/errors.ts'
import type { Basic } from './basic.ts'
import { costOf, parseHtpasswd, type Users } from './htpasswd.ts'

/** bcrypt reads no further, in bytes: a longer password would be as good as its beginning. */
export const longestPassword = 72

const mostRemembered = 10_000
/**
 * How long a wrong login is known to be wrong, in milliseconds: some client will repeat it again
 * and again.
 */
const wrongLife = 10_000
/** Verifications that run at once, off the event loop, and that wait, in all and for one name. */
const atOnce = Math.max(1, Math.min(2, availableParallelism() - 1))
const mostWaiting = 64
const mostWaitingForOne = 8

/**
 * Verifies passwords, and remembers what it verified under a keyed hash of the header, so that
 * bcrypt runs once a user.
 */
export interface Logins {
  /** The user of a header that was verified before. */
  recall(authorization: string): string | undefined
  /** @throws RegistryError TOOMANYREQUESTS */
  verify(authorization: string, login: Basic): Promise<boolean>
  reload(htpasswd: string): Promise<void>
}

type Verified = { readonly username: string; readonly isRight: boolean }

export async function createLogins(htpasswd: string): Promise<Logins> {
  const key = randomBytes(32).toString('base64')
  const queue = createQueue()
  let { users, decoy } = await read(htpasswd)

  // Keyed, so that what is kept in memory says nothing of passwords. Nobody else sees or gives it, so
  // the key may simply stand in front, at a tenth of what an HMAC costs in Node.
  const keyOf = (authorization: string) => digest('sha256', key + authorization, 'base64')

  const isRight = async ({ username, password }: Basic): Promise<boolean> => {
    const hash = users.get(username)
    const matches = await queue.run(username, () => verify(password, hash ?? decoy))
    // Against the users of now: the file may have been replaced meanwhile.
    const isCurrent = hash !== undefined && users.get(username) === hash
    return matches && isCurrent && Buffer.byteLength(password) <= longestPassword
  }

  /** A node that starts pulls with many requests at once: they all wait for one verification. */
  const verified = new LRUCache<string, Verified, Basic>({
    ...bounded(mostRemembered),
    ttl: wrongLife,
    ignoreFetchAbort: true,
    fetchMethod: async (_key, _stale, { options, context }) => {
      const asked = users
      const right = await isRight(context)
      // What was found out before a reload is not remembered after it.
      options.ttl = asked !== users ? 1 : right ? 0 : wrongLife
      return { username: context.username, isRight: right }
    },
  })

  return {
    recall: (authorization) => {
      const known = verified.get(keyOf(authorization))
      return known?.isRight ? known.username : undefined
    },
    verify: async (authorization, login) => {
      const outcome = await verified.fetch(keyOf(authorization), { context: login })
      return outcome?.isRight ?? false
    },
    reload: async (text) => {
      const fresh = await read(text)
      users = fresh.users
      decoy = fresh.decoy
      verified.clear()
    },
  }
}

/**
 * The decoy is what unknown users are verified against, at the file's highest cost, so that they
 * take as long as known ones.
 */
async function read(htpasswd: string): Promise<{ users: Users; decoy: string }> {
  const users = parseHtpasswd(htpasswd)
  const cost = Math.max(...[...users.values()].map(costOf))
  return { users, decoy: await bcrypt(randomBytes(16).toString('hex'), { cost }) }
}

function createQueue() {
  const waiting: { readonly name: string; readonly start: () => void }[] = []
  let running = 0

  /** Whoever ends hands its place to the first who waits. */
  const leave = (): void => {
    const next = waiting.shift()
    if (next === undefined) running -= 1
    else next.start()
  }

  const enter = (name: string): Promise<void> | undefined => {
    if (running < atOnce) {
      running += 1
      return undefined
    }
    const same = waiting.filter((other) => other.name === name).length
    if (waiting.length >= mostWaiting || same >= mostWaitingForOne) {
      throw new RegistryError('TOOMANYREQUESTS', {
        message: 'too many logins at once; try again',
        retryAfter: 1,
      })
    }
    const turn = Promise.withResolvers<void>()
    waiting.push({ name, start: turn.resolve })
    return turn.promise
  }

  return {
    run: async <Result>(name: string, work: () => Promise<Result>): Promise<Result> => {
      await enter(name)
      try {
        return await work()
      } finally {
        leave()
      }
    },
  }
}
