import { parseOptions } from '@node-rs/bcrypt'

/** The bcrypt hashes of a user's passwords. */
export type Users = ReadonlyMap<string, readonly string[]>

/** Lines of one user: while a password is rotated, the old one and the new one. */
const maxLines = 2

const bcryptHash = /^\$2[aby]\$\d\d\$[./A-Za-z0-9]{53}$/

/**
 * Reads an htpasswd file. Each line of a user counts, where for Apache only the first does: replicas, and
 * the pods that know the password, get a new one at different times.
 * @throws Error naming the line when one is no bcrypt or a user's third, and when there is no user at all: an empty
 * file is half a write.
 */
export function parseHtpasswd(text: string): Users {
  const users = new Map<string, readonly string[]>()
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
    const hashes = [...(users.get(user) ?? []), hash]
    if (hashes.length > maxLines)
      throw new Error(
        `htpasswd line ${index + 1} is one too many of its user: there may be ${maxLines}, of the old and the new password`,
      )
    users.set(user, hashes)
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
