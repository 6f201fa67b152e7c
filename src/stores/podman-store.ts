import { join } from 'node:path'
import type { ImageSource } from '../archive/archive.ts'
import { parseEndpoint } from './docker-endpoint.ts'
import { type Endpoint, openEngineApi } from './engine-api.ts'
import { assertStoreName } from './image-names.ts'
import { type Podman, type PodmanImage, podmanImageSchema, type SaveFormat } from './podman.ts'
import { readPodmanProgram } from './podman-program.ts'
import { openSavedArchive } from './saved-archive.ts'
import { isAbsent, StoreError } from './store-error.ts'
import type { OpenStoreOptions } from './store-options.ts'

/** An image of podman (or buildah), as `podman save` writes it. */
export async function openPodmanImage(
  name: string,
  options: OpenStoreOptions,
): Promise<ImageSource> {
  assertStoreName(name)
  const { compression, signal, onNote } = options
  const podman = await findPodman(options)
  const found = await podman.inspect(name)
  if (found === undefined) throw new StoreError('absent', `${podman.address}: no such image`)
  onNote?.(`copying ${name} from podman (${podman.address})`)
  const chunks = await podman.save(found.Id, formatFor(found))
  const what = `${name} of podman`
  return openSavedArchive({ chunks, what, compression, signal })
}

/** Another format than its own would convert the image's config, and so give the image another ID. */
function formatFor({ ManifestType = '' }: PodmanImage): SaveFormat {
  return ManifestType.includes('docker') ? 'docker-archive' : 'oci-archive'
}

/** The program uses CONTAINER_HOST as well, so it would not help where that cannot be reached. */
async function findPodman(options: OpenStoreOptions): Promise<Podman> {
  const { environment, signal } = options
  const host = environment['CONTAINER_HOST'] ?? ''
  if (/^(?:unix|tcp):/.test(host)) return openApi(parseEndpoint(host), signal)
  const problems: string[] = []
  for (const attempt of [
    ...endpointsIn(environment).map((endpoint) => () => openApi(endpoint, signal)),
    () => readPodmanProgram({ environment, signal }),
  ]) {
    try {
      return await attempt()
    } catch (error) {
      if (!isAbsent(error)) throw error
      problems.push(error.message)
    }
  }
  throw new StoreError('absent', problems.join('; '))
}

function endpointsIn(environment: OpenStoreOptions['environment']): readonly Endpoint[] {
  const runtime = environment['XDG_RUNTIME_DIR'] ?? ''
  const directories = [...(runtime === '' ? [] : [runtime]), '/run']
  return directories.map((directory) => {
    const socketPath = join(directory, 'podman', 'podman.sock')
    return { address: `unix://${socketPath}`, socketPath }
  })
}

async function openApi(endpoint: Endpoint, signal: AbortSignal | undefined): Promise<Podman> {
  const api = await openEngineApi({ endpoint, signal })
  const path = (name: string) => `/v4.0.0/libpod/images/${encodeURIComponent(name)}`
  return {
    address: api.address,
    inspect: (name) => api.json(`${path(name)}/json`, podmanImageSchema),
    save: async (id, format) => {
      const chunks = await api.stream(`${path(id)}/get?format=${format}`)
      if (chunks === undefined) throw new StoreError('absent', `${api.address}: no such image`)
      return chunks
    },
  }
}
