/**
 * How IAM's policies name one of our identities; undefined where that is not known: a user without
 * a name, a pool of which nobody knows the subject.
 */
export function memberOf(identity: string): string | undefined {
  if (/^principal:\/\/[^\s]+$/.test(identity)) return identity
  if (/^[\w.+-]+@[\w.-]*gserviceaccount\.com$/.test(identity)) return `serviceAccount:${identity}`
  if (/^[\w.+-]+@[\w.-]+$/.test(identity)) return `user:${identity}`
  return undefined
}

/** Google takes no longer ones. */
const subjectPattern = /^[\x21-\x7e]{1,127}$/

/**
 * The identity that a subject has in the pool of a provider's audience. What the provider maps to
 * `google.subject` is only known to Google; by default, and nearly always, it is `sub`.
 */
export function principalOf(audience: string, subject: string | undefined): string | undefined {
  const [, pool] = /^\/\/(iam\.[^/]+\/.+)\/providers\/[^/]+$/.exec(audience) ?? []
  if (pool === undefined || subject === undefined || !subjectPattern.test(subject)) return undefined
  return `principal://${pool}/subject/${subject}`
}

/** As one word of a shell. */
export function quoted(word: string): string {
  return /^[\w@%+=:,./-]+$/.test(word) ? word : `'${word.replaceAll("'", `'\\''`)}'`
}
