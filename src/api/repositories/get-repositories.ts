import type { Inventory, RepositoryFacts } from '../../registry/registry.ts'
import type { Access } from '../access.ts'
import type { Handler } from '../call.ts'
import { timeOf } from '../times.ts'

type Options = { readonly inventory: Inventory; readonly access: Access }

export function createGetRepositories({ inventory, access }: Options): Handler<'repositories'> {
  return async ({ identity, query: { search, prefix, last, n } }) => {
    const all = await inventory.list({ prefix, search })
    const visible = all.filter(({ name }) => access.mayPull(identity, name))
    const rest = visible.filter(({ name }) => name > last)
    const page = rest.slice(0, n)
    const seesAll = access.seesAll(identity)
    return {
      body: {
        repositories: (await inventory.describe(page)).map((facts) => ({
          ...repositoryOf(facts),
          // It tells what repositories have that the client may not see.
          ownSize: seesAll ? facts.ownSize : undefined,
        })),
        total: visible.length,
        next: rest.length > page.length ? page.at(-1)?.name : undefined,
        problem: inventory.problem(),
      },
    }
  }
}

function repositoryOf({ pushedAt, checkedAt, pulledAt, ...facts }: RepositoryFacts) {
  return {
    ...facts,
    pushedAt: timeOf(pushedAt),
    checkedAt: timeOf(checkedAt),
    pulledAt: timeOf(pulledAt),
  }
}
