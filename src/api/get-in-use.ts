import { parseDigest } from '../oci/digest.ts'
import { RegistryError } from '../oci/errors.ts'
import type { Inventory } from '../registry/registry.ts'
import type { Handler } from './call.ts'
import { type UsesOptions, usesOf } from './uses.ts'

type Options = UsesOptions & { readonly inventory: Inventory }

/** A digest belongs to a repository: who may not pull from it learns nothing. */
export function createGetInUse(options: Options): Handler<'inUse'> {
  const { access, inventory } = options
  return async (call) => {
    const { identity, authorize, query } = call
    const digest = parseDigest(call.texts.digest)
    const repository = access.resolve({ identity, authorize, texts: query })
    const found = await inventory.of(repository.name).image(digest)
    if (found === undefined)
      throw new RegistryError('MANIFEST_UNKNOWN', {
        message: `${repository.name} has no manifest ${digest} here`,
      })
    return { body: usesOf(options, { identity, repository, digest, tags: found.tags }) }
  }
}
