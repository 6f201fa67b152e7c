import { parseOptions } from '@node-rs/bcrypt'

/** A user's line: the bcrypt hash of the password. */
export type Users = ReadonlyMap<string, string>

const bcryptHash = /^\$2[aby]\$\d\d\$[./A-Za-z0-9]{53}$/

/**
 * Reads an htpasswd file. The first line of a user counts, as for Apache.
 * @throws Error naming the line when one is no bcrypt, and when there is no user at all: an empty
 * file is half a write.
 */
export function parseHtpasswd(text: string): Users {
  const users = new Map<string, string>()
  for (const [index, line] of text.split(/\r?\n/).entries()) {
    if (line.trim() === '' || line.startsWith('#')) continue
    const colon = line.indexOf(':')
    const hash = line.slice(colon + 1).trim()
    if (colon < 1 || !canBeVerified(hash)) {
      throw new Error(
        `htpasswd line ${index + 1} is not "user:bcrypt-hash"; make one with: berth htpasswd USER`,
      )
    }
    const user = line.slice(0, colon)
    if (!users.has(user)) users.set(user, hash)
  }
  if (users.size === 0) throw new Error('the htpasswd file has no users')
  return users
}

/** The logarithm of a hash's work. */
export function costOf(hash: string): number {
  return parseOptions(hash).cost
}

/** What looks like a hash may still be one that no password could have. */
function canBeVerified(hash: string): boolean {
  try {
    return bcryptHash.test(hash) && costOf(hash) > 0
  } catch {
    return false
  }
}
