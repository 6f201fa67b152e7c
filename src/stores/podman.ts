import { z } from 'zod'

/** Image as `podman image inspect` prints it, and as its API does. */
export const podmanImageSchema = z.object({ Id: z.string(), ManifestType: z.string().optional() })

export type PodmanImage = z.infer<typeof podmanImageSchema>

/** One podman: its API, or its program. */
export interface Podman {
  /** For messages. */
  readonly address: string
  /** Undefined: it has no such image. */
  inspect(name: string): Promise<PodmanImage | undefined>
  save(id: string, format: SaveFormat): Promise<AsyncIterable<Buffer>>
}

export type SaveFormat = 'oci-archive' | 'docker-archive'
