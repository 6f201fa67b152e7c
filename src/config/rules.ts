import { isIP } from 'node:net'
import { formatPath } from './fields.ts'
import type { Config } from './schema.ts'
import type { Address } from './units.ts'

/** A problem of a field, such as `upstreams[1].prefix`, in combination with others. */
export type Problem = { readonly path: readonly PropertyKey[]; readonly message: string }

export function findProblems(config: Config): readonly Problem[] {
  return [
    ...findUnprotectedListener(config),
    ...findOpenRules(config),
    ...findUnusableUpstreams(config),
    ...findUnusableHosted(config),
    ...findBucketProblems(config),
    ...findDuplicatePrefixes(config),
    ...findMirrorProblems(config),
    ...findRuleProblems(config),
    ...findAccessProblems(config),
    ...findWarmUpProblems(config),
  ]
}

/** List elements that are missing although later ones are set: one problem for each list. */
export function* findGaps(node: unknown, path: readonly PropertyKey[] = []): Generator<Problem> {
  if (typeof node !== 'object' || node === null) return
  const gap = Array.isArray(node) ? Array.from(node.keys()).find((at) => !(at in node)) : undefined
  if (gap !== undefined && Array.isArray(node)) {
    const last = formatPath([...path, node.length - 1])
    yield {
      path: [...path, gap],
      message: `is missing, although ${last} is set; indexes start at 0`,
    }
    return
  }
  for (const [key, child] of Object.entries(node))
    yield* findGaps(child, [...path, Array.isArray(node) ? Number(key) : key])
}

/** The addresses of a host; an empty host means all addresses of the system. */
export function listenHosts({ host }: Address): readonly string[] {
  return host === 'localhost' ? ['127.0.0.1', '::1'] : [host]
}

export function isLoopback(host: string): boolean {
  return host === 'localhost' || host === '::1' || (isIP(host) === 4 && host.startsWith('127.'))
}

/** Whether anybody can log in. */
export function hasUsers({ htpasswd, serviceAccounts }: Config['auth']): boolean {
  return (htpasswd ?? serviceAccounts) !== undefined
}

/**
 * The danger: a listener that other machines can reach lets everyone pull what our credentials can
 * read.
 */
function* findUnprotectedListener({ listen, auth }: Config): Generator<Problem> {
  if (isLoopback(listen.host) || hasUsers(auth) || auth.anonymous !== 'none') return
  yield {
    path: ['listen'],
    message:
      'other machines can reach this address: set auth.htpasswd or auth.serviceAccounts, or auth.anonymous: pull to let anonymous users pull',
  }
}

/** The danger: rules for `*`, written for all users who log in, would apply to everyone who can connect. */
function* findOpenRules({ auth }: Config): Generator<Problem> {
  if (auth.anonymous !== 'rules' || !hasUsers(auth)) return
  yield {
    path: ['auth', 'anonymous'],
    message:
      'rules is for registries without users, but auth.htpasswd or auth.serviceAccounts is set; set it to pull, or remove them',
  }
}

function* findUnusableUpstreams({ auth, upstreams }: Config): Generator<Problem> {
  if (hasUsers(auth) || auth.anonymous !== 'pull') return
  for (const [at, { anonymous, credentials }] of upstreams.entries()) {
    if (anonymous === 'pull' || credentials.type === 'anonymous') continue
    const message =
      'no client could pull from this upstream: there are no users (auth.htpasswd is not set), and anonymous users may not pull what its credentials can read; set it to pull to allow that'
    yield { path: ['upstreams', at, 'anonymous'], message }
  }
}

function* findUnusableHosted({ auth, upstreams, hosted }: Config): Generator<Problem> {
  if (hasUsers(auth) || auth.anonymous !== 'pull' || upstreams.length > 0) return
  if (hosted.some(({ anonymous }) => anonymous === 'pull')) return
  yield {
    path: ['hosted'],
    message:
      'no client could pull anything: there are no users (auth.htpasswd is not set) and no upstreams; set anonymous: pull on a hosted prefix',
  }
}

function* findDuplicatePrefixes({ upstreams, hosted }: Config): Generator<Problem> {
  const seen = new Set<string>()
  for (const [at, { prefix }] of upstreams.entries()) {
    if (seen.has(prefix))
      yield {
        path: ['upstreams', at, 'prefix'],
        message: `another upstream already has the prefix "${prefix}"`,
      }
    seen.add(prefix)
  }
  for (const [at, { prefix }] of hosted.entries()) {
    if (seen.has(prefix))
      yield {
        path: ['hosted', at, 'prefix'],
        message: `an upstream has the prefix "${prefix}", and a hosted prefix must not shadow it`,
      }
  }
}

/** dockerd cannot log in to a mirror, so a mirror serves what anonymous users may pull. */
function* findMirrorProblems({ mirrors, upstreams }: Config): Generator<Problem> {
  for (const [at, mirror] of mirrors.entries()) {
    const index = upstreams.findIndex(({ prefix }) => prefix === mirror.upstream)
    const upstream = upstreams[index]
    const path = ['mirrors', at, 'upstream']
    if (upstream === undefined)
      yield { path, message: `no upstream has the prefix "${mirror.upstream}"` }
    else if (upstream.anonymous === 'none' && upstream.credentials.type !== 'anonymous')
      yield {
        path,
        message: `clients of a mirror cannot log in: set upstreams[${index}].anonymous: pull to let every client of the mirror pull what the credentials of that upstream can read`,
      }
  }
}

/** A rule for service accounts that can never apply. */
function* findAccessProblems({ auth }: Config): Generator<Problem> {
  if (auth.serviceAccounts !== undefined) return
  for (const [at, { users, groups }] of auth.access.entries()) {
    const field = groups.length > 0 ? 'groups' : 'users'
    if (![...users, ...groups].some((name) => name.startsWith('system:serviceaccount'))) continue
    yield {
      path: ['auth', 'access', at, field],
      message: 'has no effect without auth.serviceAccounts, which accepts service account tokens',
    }
  }
}

function* findWarmUpProblems({ inUse }: Config): Generator<Problem> {
  if (inUse.kubernetes || !inUse.warmUp.enabled) return
  yield {
    path: ['inUse', 'warmUp', 'enabled'],
    message: 'has no effect without inUse.kubernetes, which watches the workloads',
  }
}

function* findRuleProblems({ retention }: Config): Generator<Problem> {
  const names = new Set<string>()
  for (const [at, rule] of retention.rules.entries()) {
    const path = ['retention', 'rules', at]
    if (names.has(rule.name))
      yield { path: [...path, 'name'], message: `another rule has the name "${rule.name}"` }
    names.add(rule.name)
    if (rule.action === 'keep') continue
    if (rule.newest !== undefined)
      yield {
        path: [...path, 'newest'],
        message: 'a delete rule has no newest: add a rule with action: keep and newest',
      }
    const { tags, untagged, olderThan, notPulledFor } = rule
    const isLimited = tags.length > 0 || untagged || (olderThan ?? notPulledFor) !== undefined
    if (!isLimited)
      yield {
        path,
        message: 'the rule would delete every image: set tags, untagged, olderThan or notPulledFor',
      }
  }
}

/** The danger: the cache deletes objects with wrong bytes, and a lifecycle rule expires the others. */
function* findBucketProblems({ storage: { cache, hosted } }: Config): Generator<Problem> {
  const [one, other] = [cache.bucket, hosted.bucket]
  for (const [use, bucket] of Object.entries({ cache: one, hosted: other }))
    for (const field of ['region', 'pathStyle', 'profile'] as const)
      if (bucket?.type === 'gcs' && bucket[field] !== undefined)
        yield {
          path: ['storage', use, 'bucket', field],
          message: 'has no meaning for a bucket of Google Cloud Storage',
        }
  for (const [use, { bucket, redirects }] of Object.entries({ cache, hosted }))
    if (bucket === undefined && redirects.enabled)
      yield {
        path: ['storage', use, 'redirects', 'enabled'],
        message: `needs storage.${use}.bucket`,
      }
  if (one === undefined || one.name !== other?.name || one.endpoint !== other.endpoint) return
  const isShared = one.prefix === '' || `${other.prefix}/`.startsWith(`${one.prefix}/`)
  if (isShared)
    yield {
      path: ['storage', 'cache', 'bucket', 'prefix'],
      message: 'must not be that of storage.hosted.bucket, or above it',
    }
}
