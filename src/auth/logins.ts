import { hash as digest, randomBytes } from 'node:crypto'
import { availableParallelism } from 'node:os'
import { hash as bcrypt, verify } from '@node-rs/bcrypt'
import { LRUCache } from 'lru-cache'
import { bounded } from '../oci/bounded.ts'
import type { Basic } from './basic.ts'
import { createFairQueue } from './fair-queue.ts'
import { costOf, parseHtpasswd, type Users } from './htpasswd.ts'

/** bcrypt reads no further, in bytes: a longer password would be as good as its beginning. */
export const longestPassword = 72

const maxRemembered = 10_000
/**
 * How long a wrong login is known to be wrong, in milliseconds: some client will repeat it again
 * and again.
 */
const wrongLife = 10_000
/** Verifications that run at once, off the event loop. */
const maxRunning = Math.max(1, Math.min(2, availableParallelism() - 1))
/** Verifications that wait: for a user of the file, and for all other names together. */
const maxWaitingForUser = 8
const maxWaitingForOthers = 64
/** In milliseconds; containerd waits 30 s for the headers of an answer. */
const maxWait = 20_000
/** The lane of names that are not in the file; no user has an empty name. */
const otherNames = ''

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

type Verified = {
  readonly username: string
  /** The user's line that it was verified against. */
  readonly hash: string | undefined
  readonly isRight: boolean
}

export async function createLogins(htpasswd: string): Promise<Logins> {
  const key = randomBytes(32).toString('base64')
  const queue = createFairQueue({
    maxRunning,
    maxWaiting: (lane) => (lane === otherNames ? maxWaitingForOthers : maxWaitingForUser),
    maxWait,
    purpose: 'logins',
  })
  let { users, decoy } = await read(htpasswd)

  // Keyed, so that what is kept in memory says nothing of passwords. Nobody else sees or gives it, so
  // the key may simply stand in front, at a tenth of what an HMAC costs in Node.
  const keyOf = (authorization: string) => digest('sha256', key + authorization, 'base64')

  /**
   * A user of the file has a lane of their own, so that a flood of other names leaves them their turn.
   * While other names are refused, so is a wrong password: else the answer would tell who has a line.
   */
  const matches = async ({ username, password }: Basic, hash: string | undefined) => {
    const overloaded = queue.isFull(otherNames)
    const lane = hash === undefined ? otherNames : username
    const isRight = await queue.run(lane, () => verify(password, hash ?? decoy))
    if (!isRight && overloaded) throw queue.tooMany()
    return isRight
  }

  /** Against the users of now: where the line has changed meanwhile, the new one counts. */
  const isRight = async (login: Basic): Promise<boolean> => {
    const hash = users.get(login.username)
    const isMatch = await matches(login, hash)
    if (users.get(login.username) !== hash) return isRight(login)
    return isMatch && hash !== undefined && Buffer.byteLength(login.password) <= longestPassword
  }

  /** A node that starts pulls with many requests at once: they all wait for one verification. */
  const verified = new LRUCache<string, Verified, Basic>({
    ...bounded(maxRemembered),
    ttl: wrongLife,
    ignoreFetchAbort: true,
    fetchMethod: async (_key, _stale, { options, context }) => {
      const right = await isRight(context)
      options.ttl = right ? 0 : wrongLife
      return { username: context.username, hash: users.get(context.username), isRight: right }
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
      // Verifications of lines that did not change hold on, or each reload would start all anew.
      for (const [login, { username, hash }] of [...verified.entries()])
        if (users.get(username) !== hash) verified.delete(login)
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
