import type { IncomingMessage, ServerResponse } from 'node:http'
import { parseDigest } from '../oci/digest.ts'
import { isRegistryError } from '../oci/errors.ts'
import { joinName, parseRepositoryName, parseTag } from '../oci/reference.ts'
import type { Registry, SharedManifests } from '../registry/registry.ts'
import type { Members } from './members.ts'
import type { Notify } from './notices.ts'

/** The client that pushes waits for it, in milliseconds. */
const maxWait = 2000

const path = '/changed/'

/**
 * Tells all other replicas what was pushed or deleted here, before the client gets its answer. One that does not answer
 * is left out for a moment, and knows it when its tags expire.
 */
export function createTellChange(members: Members, notify: Notify): SharedManifests['changed'] {
  return async ({ prefix, name, isDeleted, tags, digest }) => {
    const query = new URLSearchParams(tags.map((tag): [string, string] => ['tag', tag]))
    if (digest !== undefined) query.set('digest', digest)
    if (isDeleted) query.set('deleted', 'true')
    const target = `${path}${joinName(prefix, name)}?${query}`
    const tell = (member: string) =>
      notify({ member, target, maxWait }).catch(() => members.failed(member))
    await Promise.all(members.others(target).map(tell))
  }
}

/** Receives the notices of others. False: it is another request. */
export function answerChange(
  registry: Registry,
  { method, url = '' }: IncomingMessage,
  response: ServerResponse,
): boolean {
  if (method !== 'PUT' || !url.startsWith(path)) return false
  learn(registry, url).then(
    () => response.writeHead(204).end(),
    (error: unknown) => response.writeHead(isRegistryError(error) ? error.status : 500).end(),
  )
  return true
}

async function learn(registry: Registry, url: string): Promise<void> {
  const { pathname, searchParams } = new URL(url, 'http://replica')
  const { repository } = registry.resolve(parseRepositoryName(pathname.slice(path.length)))
  const digest = searchParams.get('digest')
  await repository.learn?.({
    isDeleted: searchParams.has('deleted'),
    tags: searchParams.getAll('tag').map(parseTag),
    ...(digest !== null && { digest: parseDigest(digest) }),
  })
}
