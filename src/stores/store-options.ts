import type { LayerCompression } from '../archive/archive.ts'

export type OpenStoreOptions = {
  /** Where the daemons are: DOCKER_HOST, CONTAINER_HOST, CONTAINERD_ADDRESS and others. */
  readonly environment: Readonly<Record<string, string | undefined>>
  /** Of layers that a store gives uncompressed; default gzip. */
  readonly compression?: LayerCompression | undefined
  /** What is read, from where, and what is left out. */
  readonly onNote?: ((note: string) => void) | undefined
  readonly signal?: AbortSignal | undefined
}
