import { parseOptions } from '@node-rs/bcrypt'

/** The bcrypt hashes of a user's passwords. */
export type Users = ReadonlyMap<string, readonly string[]>

/** Lines of one user: the old and the new password during a rotation. */
const maxLines = 2

/** Apache's own limit. The danger: a cost of 31 takes two days, for each login and before the file is in force. */
const maxCost = 17

const bcryptHash = /^\$2[aby]\$\d\d\$[./A-Za-z0-9]{53}$/

/**
 * Parses an htpasswd file. Every line of a user is valid (Apache uses only the first), because replicas
 * and pods receive a new password at different times.
 * @throws Error naming the line if it is not a bcrypt hash, takes too long to verify, or is the third of its user, and if
 * there are no users: an empty file is a partial write.
 */
export function parseHtpasswd(text: string): Users {
  const users = new Map<string, readonly string[]>()
  for (const [index, line] of text.split(/\r?\n/).entries()) {
    if (line.trim() === '' || line.startsWith('#')) continue
    const colon = line.indexOf(':')
    const hash = line.slice(colon + 1).trim()
    if (colon < 1 || !canBeVerified(hash)) {
      throw new Error(
        `htpasswd line ${index + 1} is not "user:bcrypt-hash"; create one with: berth htpasswd USER`,
      )
    }
    if (costOf(hash) > maxCost)
      throw new Error(
        `htpasswd line ${index + 1} has a hash of cost ${costOf(hash)}; the maximum is ${maxCost}, as each login takes twice as long with each step`,
      )
    const user = line.slice(0, colon)
    const hashes = [...(users.get(user) ?? []), hash]
    if (hashes.length > maxLines)
      throw new Error(
        `htpasswd line ${index + 1} is line ${maxLines + 1} of its user; the maximum is ${maxLines}, for the old and the new password`,
      )
    users.set(user, hashes)
  }
  if (users.size === 0) throw new Error('the htpasswd file has no users')
  return users
}

/** The bcrypt cost of a hash: the binary logarithm of its rounds. */
export function costOf(hash: string): number {
  return parseOptions(hash).cost
}

/** Some texts match the pattern but no password has that hash. */
function canBeVerified(hash: string): boolean {
  try {
    return bcryptHash.test(hash) && costOf(hash) > 0
  } catch {
    return false
  }
}
