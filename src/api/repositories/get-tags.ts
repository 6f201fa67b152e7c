import { RegistryError } from '../../oci/errors.ts'
import type { Inventory, TagFacts } from '../../registry/registry.ts'
import { type Access, rightsOf } from '../access.ts'
import type { Tags } from '../answers.ts'
import type { Handler } from '../call.ts'
import type { Expiries } from '../expiries.ts'
import { kindOf } from '../image-kind.ts'
import { createRunning } from '../running-digests.ts'
import { timeOf } from '../times.ts'
import type { Workloads } from '../uses.ts'

type Options = {
  readonly inventory: Inventory
  readonly access: Access
  readonly workloads: Workloads
  readonly expiries: Expiries
}

export function createGetTags(options: Options): Handler<'tags'> {
  const { inventory, access, workloads, expiries } = options
  const runningOf = createRunning(options)

  return async (call) => {
    const resolved = access.resolve(call)
    const { name } = resolved
    const { sort, order, filter, offset, n } = call.query
    const repository = inventory.of(name)
    const part = { order: sort, descending: order === 'desc', search: filter, offset, limit: n }
    const [found, expiryOf] = await Promise.all([
      repository.tags(part),
      repository.kind === 'hosted' ? expiries(name) : undefined,
    ])
    if (found === undefined)
      throw new RegistryError('NAME_UNKNOWN', { message: `there is no repository ${name} here` })
    const end = offset + found.tags.length
    const describe = async (facts: TagFacts): Promise<Tags['tags'][number]> => ({
      ...tagOf(facts),
      inUse: workloads.has({ name, tag: facts.tag, digest: facts.digest }),
      running: await runningOf({ identity: call.identity, resolved, ...facts }),
      expiry: expiryOf?.(facts),
    })
    return {
      body: {
        name,
        kind: repository.kind,
        upstream: repository.upstream,
        may: rightsOf(access, call.identity, resolved),
        tags: await Promise.all(found.tags.map(describe)),
        total: found.total,
        next: found.tags.length > 0 && end < found.total ? end : undefined,
        problem: repository.kind === 'hosted' ? inventory.problem() : undefined,
      },
    }
  }
}

function tagOf({ pushedAt, checkedAt, pulledAt, ...facts }: TagFacts) {
  return {
    ...facts,
    kind: facts.mediaType === undefined ? undefined : kindOf(facts),
    pushedAt: timeOf(pushedAt),
    checkedAt: timeOf(checkedAt),
    pulledAt: timeOf(pulledAt),
  }
}
