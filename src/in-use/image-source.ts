/** What names an image: an object of this cluster, or another cluster by its list. */
export type ImageUse = {
  /** The reference as it is named. */
  readonly image: string
  /** Such as `Deployment`; `Cluster` for the list of another one, whose name it has then. */
  readonly kind: string
  /** Empty for a cluster. */
  readonly namespace: string
  readonly name: string
  /** Where a pod runs. */
  readonly node?: string | undefined
  /** What a pod runs of the reference, as its node reports it, such as `host/name@sha256:…`. */
  readonly imageId?: string | undefined
}

/** Where image references come from: a watch of a cluster, or lists that other clusters push. */
export interface ImageSource {
  /** As workloads name them, such as `localhost:30026/local/app:1.2@sha256:…`. */
  images(): Iterable<string>
  /** The same, with what names them. */
  uses(): Iterable<ImageUse>
  /** Images that nodes have still to pull, or may pull for new pods, with the namespaces that name them. */
  toPull(): Iterable<Pick<ImageUse, 'image' | 'namespace'>>
  /** Increases with each change. */
  version(): number
  /** Why the references are not known at the moment; undefined: they are. */
  problem(): string | undefined
  close(): Promise<void>
}
