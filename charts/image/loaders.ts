import { type Archived, type LoadOptions, loadContainerd } from './containerd.ts'
import { loadNodes } from './nodes.ts'
import { ImageError, run } from './run.ts'

export const places = ['docker', 'podman', 'kind', 'containerd', 'nodes'] as const

/** Loads an image into a container runtime. `kind:NAME` means the nodes of that kind cluster. */
export async function load(place: string, image: Archived, options: LoadOptions): Promise<void> {
  const [kind, cluster = 'kind'] = place.split(':')
  switch (kind) {
    case 'docker':
    case 'podman':
      return void (await run([kind, 'load', '--input', image.file]))
    case 'kind':
      return void (await run(['kind', 'load', 'image-archive', image.file, '--name', cluster]))
    case 'containerd':
      return loadContainerd(image, options)
    case 'nodes':
      return loadNodes(image, options)
    default:
      throw new ImageError(
        `--load ${place} is not supported: use ${places.join(', ')} or kind:CLUSTER`,
      )
  }
}
