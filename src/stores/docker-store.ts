import { z } from 'zod'
import type { ImageSource } from '../archive/archive.ts'
import { dockerEndpoint } from './docker-endpoint.ts'
import { openEngineApi } from './engine-api.ts'
import { assertStoreName, withTag } from './image-names.ts'
import { openSavedArchive } from './saved-archive.ts'
import { StoreError } from './store-error.ts'
import type { OpenStoreOptions } from './store-options.ts'

const imageSchema = z.object({ RepoTags: z.array(z.string()).nullish() })

/** An image of the docker daemon, as `docker save` writes it. */
export async function openDockerImage(
  name: string,
  options: OpenStoreOptions,
): Promise<ImageSource> {
  assertStoreName(name)
  const { environment, compression, signal, onNote } = options
  const api = await openEngineApi({ endpoint: await dockerEndpoint(environment), signal })
  const found = await api.json(`/images/${name}/json`, imageSchema)
  if (found === undefined) throw new StoreError('absent', `${api.address}: no such image`)
  // The danger: a name without a tag exports all its tags; an ID has none.
  const exported = found.RepoTags?.includes(withTag(name)) ? withTag(name) : name
  onNote?.(`copying ${exported} from docker (${api.address})`)
  const chunks = await api.stream(`/images/${exported}/get`)
  if (chunks === undefined) throw new StoreError('absent', `${api.address}: no such image`)
  const what = `${exported} of docker`
  return openSavedArchive({ chunks, what, compression, signal })
}
