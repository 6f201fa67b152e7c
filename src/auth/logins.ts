import { hash as digest, randomBytes } from 'node:crypto'
import { availableParallelism } from 'node:os'
import { hash as bcrypt, verify } from '@node-rs/bcrypt'
import { LRUCache } from 'lru-cache'
import { limitEntries } from '../memory/memory.ts'
import type { Basic } from './basic.ts'
import { createFairQueue } from './fair-queue.ts'
import { costOf, parseHtpasswd, type Users } from './htpasswd.ts'

/** The danger: bcrypt ignores further bytes, so that the beginning of a longer password would be enough. */
export const maxPasswordBytes = 72

const maxCachedLogins = 10_000
/** Headers that are kept as they are; a cluster has few logins. */
const maxRecentHeaders = 100
/** Time to cache a rejected login, in milliseconds: some clients repeat it in a loop. */
const rejectionTtl = 10_000
/** Maximum number of concurrent verifications, which run off the event loop. */
const maxRunning = Math.max(1, Math.min(2, availableParallelism() - 1))
/** Maximum number of waiting verifications: for each user of the file, and for all other names together. */
const maxWaitingForUser = 8
const maxWaitingForOthers = 64
/** In milliseconds; containerd waits 30 s for the headers of a response. */
const maxWait = 20_000
/** The lane of names that are not in the file; no user has the empty name. */
const otherNames = ''

/** Verifies passwords and caches the results by a keyed hash of the header: bcrypt is slow. */
export interface Logins {
  /** The user of a header that was verified before; undefined: not in the cache, or rejected. */
  cachedUser(authorization: string): string | undefined
  /** @throws RegistryError TOOMANYREQUESTS */
  verify(authorization: string, login: Basic): Promise<boolean>
  reload(htpasswd: string): Promise<void>
}

/** The result of a verification. */
type Outcome = {
  /** The user's hashes at that time; empty if the user was not in the file. */
  readonly hashes: readonly string[]
  /** The hash that the password matches; undefined: none. */
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

  // Keyed, so that the cache does not reveal passwords. A prefix is enough because clients neither choose
  // nor see these hashes; an HMAC takes ten times as long in Node.
  const keyOf = (authorization: string) => digest('sha256', key + authorization, 'base64')

  /**
   * Each user of the file has a separate lane, so that a flood of other names does not block users.
   * While the lane of other names is full, a wrong password gets the same answer as they do. Otherwise
   * the answers would reveal which users exist.
   */
  const matchOf = async ({ username, password }: Basic, hashes: readonly string[]) => {
    const overloaded = queue.isFull(otherNames)
    const lane = hashes.length === 0 ? otherNames : username
    const candidates = [...hashes, ...dummyHashes.slice(hashes.length)]
    const match = await queue.run(lane, () => firstMatch(password, candidates))
    if (match === undefined && overloaded) throw queue.tooMany()
    return Buffer.byteLength(password) <= maxPasswordBytes ? match : undefined
  }

  /** Verifies again if a reload changed the user's lines during the verification. */
  const verifyAgainstCurrent = async (login: Basic): Promise<Outcome> => {
    const hashes = hashesOf(login.username)
    const outcome = { hashes, match: await matchOf(login, hashes) }
    return isStillValid(outcome, hashesOf(login.username)) ? outcome : verifyAgainstCurrent(login)
  }

  /** A node starts pulls with many concurrent requests: all of them wait for one verification. */
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

  /**
   * Without the hash, which takes longer than the rest of a known login. No time reveals a part of a header: V8 compares
   * texts only if their hashes, which have a secret seed, are equal.
   */
  const recent = new Map<string, string>()

  return {
    cachedUser: (authorization) => {
      const user = recent.get(authorization)
      if (user !== undefined) return user
      const known = verified.get(keyOf(authorization))
      if (known?.match === undefined) return undefined
      if (recent.size >= maxRecentHeaders) recent.clear()
      recent.set(authorization, known.username)
      return known.username
    },
    verify: async (authorization, login) => {
      const outcome = await verified.fetch(keyOf(authorization), { context: login })
      return outcome?.match !== undefined
    },
    reload: async (text) => {
      const reloaded = await read(text)
      users = reloaded.users
      dummyHashes = reloaded.dummyHashes
      recent.clear()
      // Results for unchanged lines stay valid. Otherwise every reload would verify all users again.
      for (const [login, known] of [...verified.entries()])
        if (!isStillValid(known, hashesOf(known.username))) verified.delete(login)
    },
  }
}

/** Whether a verification against these hashes would have the same result. */
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
 * The dummy hashes fill up the verifications of unknown users and of users with fewer lines, so that all
 * logins take the same time: as many as the maximum lines of a user, at the highest cost in the file.
 * No password matches them.
 */
async function read(htpasswd: string): Promise<{ users: Users; dummyHashes: readonly string[] }> {
  const users = parseHtpasswd(htpasswd)
  let cost = 0
  let lines = 0
  for (const hashes of users.values()) {
    lines = Math.max(lines, hashes.length)
    for (const hash of hashes) cost = Math.max(cost, costOf(hash))
  }
  const dummyHash = await bcrypt(randomBytes(16).toString('hex'), { cost })
  return { users, dummyHashes: Array(lines).fill(dummyHash) }
}
