/**
 * The member in an IAM policy for one of our identities; undefined where it is unknown: a user without
 * a name, or a pool without a subject.
 */
export function memberOf(identity: string): string | undefined {
  if (/^principal:\/\/[^\s]+$/.test(identity)) return identity
  if (/^[\w.+-]+@[\w.-]*gserviceaccount\.com$/.test(identity)) return `serviceAccount:${identity}`
  if (/^[\w.+-]+@[\w.-]+$/.test(identity)) return `user:${identity}`
  return undefined
}

/** Google rejects longer ones. */
const subjectPattern = /^[\x21-\x7e]{1,127}$/

/**
 * The principal of a subject in the pool of a provider's audience. Only Google knows which claim the
 * provider maps to `google.subject`; by default, and nearly always, it is `sub`.
 */
export function principalOf(audience: string, subject: string | undefined): string | undefined {
  const [, pool] = /^\/\/(iam\.[^/]+\/.+)\/providers\/[^/]+$/.exec(audience) ?? []
  if (pool === undefined || subject === undefined || !subjectPattern.test(subject)) return undefined
  return `principal://${pool}/subject/${subject}`
}

/** One word of a POSIX shell. */
export function quoteForShell(word: string): string {
  return /^[\w@%+=:,./-]+$/.test(word) ? word : `'${word.replaceAll("'", `'\\''`)}'`
}
