/** Where image references come from: a watch of a cluster, or lists that other clusters push. */
export interface ImageSource {
  /** As workloads name them, such as `localhost:30026/local/app:1.2@sha256:…`. */
  images(): Iterable<string>
  /** Increases with each change. */
  version(): number
  /** Why the references are not known at the moment; undefined: they are. */
  problem(): string | undefined
  close(): Promise<void>
}
