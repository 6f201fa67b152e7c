import { hash as digest, randomBytes } from 'node:crypto'
import { availableParallelism } from 'node:os'
import { hash as bcrypt, verify } from '@node-rs/bcrypt'
import { LRUCache } from 'lru-cache'
import { limitEntries } from '../memory/memory.ts'
import type { Basic } from './basic.ts'
import { createFairQueue } from './fair-queue.ts'
import { costOf, parseHtpasswd, type Users } from './htpasswd.ts'

/** bcrypt reads no further, in bytes: a longer password would be as good as its beginning. */
export const maxPasswordBytes = 72

const maxCachedLogins = 10_000
/**
 * How long a wrong login is known to be wrong, in milliseconds: some client will repeat it again
 * and again.
 */
const rejectionTtl = 10_000
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
  cachedUser(authorization: string): string | undefined
  /** @throws RegistryError TOOMANYREQUESTS */
  verify(authorization: string, login: Basic): Promise<boolean>
  reload(htpasswd: string): Promise<void>
}

/** What came of a verification. */
type Outcome = {
  /** The user's hashes of then; none of one who is not in the file. */
  readonly hashes: readonly string[]
  /** That of the password; undefined: it was wrong. */
  readonly match: string | undefined
}

type Verified = Outcome & { readonly username: string }

export async function createLogins(htpasswd: string): Promise<Logins> {
  const key = randomBytes(32).toString('base64')
  const queue = createFairQueue({
    maxRunning,
    maxWaiting: (lane) => (lane === otherNames ? maxWaitingForOthers : maxWaitingForUser),
    maxWait,
    purpose: 'logins',
  })
  let { users, dummyHashes } = await read(htpasswd)
  const hashesOf = (username: string) => users.get(username) ?? []

  // Keyed, so that what is kept in memory says nothing of passwords. Nobody else sees or gives it, so
  // the key may simply stand in front, at a tenth of what an HMAC costs in Node.
  const keyOf = (authorization: string) => digest('sha256', key + authorization, 'base64')

  /**
   * A user of the file has a lane of their own, so that a flood of other names leaves them their turn.
   * While other names are refused, so is a wrong password: else the answer would tell who has a line.
   */
  const matchOf = async ({ username, password }: Basic, hashes: readonly string[]) => {
    const overloaded = queue.isFull(otherNames)
    const lane = hashes.length === 0 ? otherNames : username
    const candidates = [...hashes, ...dummyHashes.slice(hashes.length)]
    const match = await queue.run(lane, () => firstMatch(password, candidates))
    if (match === undefined && overloaded) throw queue.tooMany()
    return Buffer.byteLength(password) <= maxPasswordBytes ? match : undefined
  }

  /** Against the users of now: where the user's lines have changed meanwhile, the new ones count. */
  const verifyAgainstCurrent = async (login: Basic): Promise<Outcome> => {
    const hashes = hashesOf(login.username)
    const outcome = { hashes, match: await matchOf(login, hashes) }
    return isStillValid(outcome, hashesOf(login.username)) ? outcome : verifyAgainstCurrent(login)
  }

  /** A node that starts pulls with many requests at once: they all wait for one verification. */
  const verified = new LRUCache<string, Verified, Basic>({
    ...limitEntries(maxCachedLogins),
    ttl: rejectionTtl,
    ignoreFetchAbort: true,
    fetchMethod: async (_key, _stale, { options, context }) => {
      const outcome = await verifyAgainstCurrent(context)
      options.ttl = outcome.match === undefined ? rejectionTtl : 0
      return { ...outcome, username: context.username }
    },
  })

  return {
    cachedUser: (authorization) => {
      const known = verified.get(keyOf(authorization))
      return known?.match === undefined ? undefined : known.username
    },
    verify: async (authorization, login) => {
      const outcome = await verified.fetch(keyOf(authorization), { context: login })
      return outcome?.match !== undefined
    },
    reload: async (text) => {
      const fresh = await read(text)
      users = fresh.users
      dummyHashes = fresh.dummyHashes
      // Verifications of lines that did not change hold on, or each reload would start all anew.
      for (const [login, known] of [...verified.entries()])
        if (!isStillValid(known, hashesOf(known.username))) verified.delete(login)
    },
  }
}

/** Whether an outcome is what a verification against these hashes would come to. */
function isStillValid({ hashes, match }: Outcome, current: readonly string[]): boolean {
  return match === undefined ? hashes.join() === current.join() : current.includes(match)
}

async function firstMatch(
  password: string,
  hashes: readonly string[],
): Promise<string | undefined> {
  for (const hash of hashes) if (await verify(password, hash)) return hash
  return undefined
}

/**
 * The decoys are what unknown users are verified against, and users with fewer lines than others: as
 * many as the most lines of a user, at the file's highest cost, so that all take the same time. No
 * password matches one.
 */
async function read(htpasswd: string): Promise<{ users: Users; dummyHashes: readonly string[] }> {
  const users = parseHtpasswd(htpasswd)
  const all = [...users.values()]
  const cost = Math.max(...all.flat().map(costOf))
  const dummyHash = await bcrypt(randomBytes(16).toString('hex'), { cost })
  return { users, dummyHashes: Array(Math.max(...all.map(({ length }) => length))).fill(dummyHash) }
}
