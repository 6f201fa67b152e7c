import type { Resolved } from '../registry/registry.ts'
import { describeWhy, type Explain } from '../why/why.ts'
import type { Access } from './access.ts'
import type { Handler } from './call.ts'

type Options = { readonly access: Access; readonly explain: Explain }

/** Of images that the client may pull; upstreams and credentials only for those who see everything. */
export function createGetWhy({ access, explain }: Options): Handler<'why'> {
  return async ({ identity, authorize, query: { image } }) => {
    let repository: Resolved | undefined
    const why = await explain(image, (resolved) => {
      authorize(identity, 'pull', resolved)
      repository = resolved
    })
    const { name, tag, digest, servedBy, uses } = why
    const hidden = {
      upstream: !access.seesAll(identity),
      workloads: repository === undefined || !access.seesWorkloads(identity, repository),
    }
    return {
      body: {
        ...{ image, name, tag, servedBy, digest: digest?.digest },
        ...describeWhy(why, { now: Date.now(), hidden }),
        nodes: hidden.workloads ? [] : (uses?.nodes ?? []),
      },
    }
  }
}
