import type { IncomingMessage, ServerResponse } from 'node:http'
import { parseDigest } from '../oci/digest.ts'
import { isRegistryError } from '../oci/errors.ts'
import { joinName, parseRepositoryName, parseTag } from '../oci/reference.ts'
import type { Registry, SharedManifests } from '../registry/registry.ts'
import type { Logger } from '../telemetry/telemetry.ts'
import type { Members } from './members.ts'
import type { Notify } from './notices.ts'

/** The client that pushes waits for it, in milliseconds. */
const maxWait = 2000

const path = '/changed/'

type Options = {
  readonly members: Members
  readonly notify: Notify
  readonly log: Logger
}

/**
 * Sends a notice of what was pushed or deleted here to all other replicas, before the client gets its answer. Those that
 * are left out get it as well, because clients ask them, but are not waited for. If one does not accept it, it is sent
 * once more. That one, and one that does not answer, knows the change when its tags expire.
 */
export function createTellChange({ members, notify, log }: Options): SharedManifests['changed'] {
  const uninformed = new Set<string>()

  const tell = async (member: string, target: string): Promise<void> => {
    const send = () => notify({ member, target, maxWait })
    try {
      if ((await send()) || (await send())) return void uninformed.delete(member)
    } catch {
      members.failed(member)
    }
    // Once, until it accepts one again.
    if (!uninformed.has(member))
      log.warn({ replica: member }, 'a replica did not accept a notice of a push or a deletion')
    uninformed.add(member)
  }

  return async ({ prefix, name, isDeleted, tags, digest }) => {
    const query = new URLSearchParams(tags.map((tag): [string, string] => ['tag', tag]))
    if (digest !== undefined) query.set('digest', digest)
    if (isDeleted) query.set('deleted', 'true')
    const target = `${path}${joinName(prefix, name)}?${query}`
    const awaited = members.others(target)
    const all = members.all().filter((member) => member !== members.own)
    for (const member of uninformed) if (!all.includes(member)) uninformed.delete(member)
    for (const member of all) if (!awaited.includes(member)) void tell(member, target)
    await Promise.all(awaited.map((member) => tell(member, target)))
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
