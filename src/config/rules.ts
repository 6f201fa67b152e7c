import { isIP } from 'node:net'
import { formatPath } from './fields.ts'
import type { Config } from './schema.ts'
import type { Address } from './units.ts'

/**
 * What is wrong with a configuration whose every field is right by itself. Paths as in
 * `upstreams[1].prefix`.
 */
export type Problem = { readonly path: readonly PropertyKey[]; readonly message: string }

export function findProblems(config: Config): readonly Problem[] {
  return [
    ...findUnprotectedListener(config),
    ...findUnusableUpstreams(config),
    ...findUnusableHosted(config),
    ...findDuplicatePrefixes(config),
    ...findMirrorProblems(config),
  ]
}

/** Elements of lists that nobody set, though ones behind them are: one problem for each list. */
export function* findGaps(node: unknown, path: readonly PropertyKey[] = []): Generator<Problem> {
  if (typeof node !== 'object' || node === null) return
  const gap = Array.isArray(node) ? Array.from(node.keys()).find((at) => !(at in node)) : undefined
  if (gap !== undefined && Array.isArray(node)) {
    const last = formatPath([...path, node.length - 1])
    yield { path: [...path, gap], message: `is missing, though ${last} is set; count from 0` }
    return
  }
  for (const [key, child] of Object.entries(node))
    yield* findGaps(child, [...path, Array.isArray(node) ? Number(key) : key])
}

/** The addresses that a host stands for; the empty one is all that the system has. */
export function listenHosts({ host }: Address): readonly string[] {
  return host === 'localhost' ? ['127.0.0.1', '::1'] : [host]
}

function isLoopback(host: string): boolean {
  return host === 'localhost' || host === '::1' || (isIP(host) === 4 && host.startsWith('127.'))
}

/**
 * What listens beyond this machine must not hand out what our credentials can read to whoever asks,
 * unless that is wanted.
 */
function* findUnprotectedListener({ listen, auth }: Config): Generator<Problem> {
  if (isLoopback(listen.host) || auth.htpasswd !== undefined || auth.anonymous === 'pull') return
  yield {
    path: ['listen'],
    message:
      'listens beyond this machine: set auth.htpasswd, or auth.anonymous: pull if everybody may pull',
  }
}

function* findUnusableUpstreams({ auth, upstreams }: Config): Generator<Problem> {
  if (auth.htpasswd !== undefined || auth.anonymous === 'none') return
  for (const [at, { anonymous, credentials }] of upstreams.entries()) {
    if (anonymous === 'pull' || credentials.type === 'anonymous') continue
    const message =
      'nobody could pull from it: there are no users (auth.htpasswd), and anonymous users may not pull what its credentials can read; set pull if they may'
    yield { path: ['upstreams', at, 'anonymous'], message }
  }
}

function* findUnusableHosted({ auth, upstreams, hosted }: Config): Generator<Problem> {
  if (auth.htpasswd !== undefined || auth.anonymous === 'none' || upstreams.length > 0) return
  if (hosted.some(({ anonymous }) => anonymous === 'pull')) return
  yield {
    path: ['hosted'],
    message:
      'nobody could pull anything: there are no users (auth.htpasswd) and no upstreams, and no hosted prefix has anonymous: pull',
  }
}

function* findDuplicatePrefixes({ upstreams, hosted }: Config): Generator<Problem> {
  const seen = new Set<string>()
  for (const [at, { prefix }] of upstreams.entries()) {
    if (seen.has(prefix))
      yield {
        path: ['upstreams', at, 'prefix'],
        message: `"${prefix}" is the prefix of an upstream above`,
      }
    seen.add(prefix)
  }
  for (const [at, { prefix }] of hosted.entries()) {
    if (seen.has(prefix))
      yield {
        path: ['hosted', at, 'prefix'],
        message: `"${prefix}" is an upstream's prefix, which a hosted one must not shadow`,
      }
  }
}

/** A mirror serves what anonymous users may pull: dockerd cannot log in to one. */
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
        message: `its clients log in nowhere: set upstreams[${index}].anonymous: pull if everybody who reaches the mirror may pull what its credentials can read`,
      }
  }
}
