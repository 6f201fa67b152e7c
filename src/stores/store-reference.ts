/** The stores that a machine may have, in the order in which a name without one is looked for. */
export const storeKinds = ['docker', 'podman', 'containerd'] as const

export type StoreKind = (typeof storeKinds)[number]

/** An image in a store of this machine; undefined: in any of them. */
export type StoreReference = { readonly store?: StoreKind; readonly name: string }

/** Ours, and skopeo's for those that have the same meaning. `docker:27` is an image, so `//` is needed. */
const prefixes: Readonly<Record<string, StoreKind>> = {
  'docker://': 'docker',
  'docker-daemon:': 'docker',
  'podman://': 'podman',
  'containers-storage:': 'podman',
  'containerd://': 'containerd',
}

/** `docker://NAME`, `podman://NAME` or `containerd://NAME`; undefined for anything else. */
export function parseStoreReference(text: string): Required<StoreReference> | undefined {
  for (const [prefix, store] of Object.entries(prefixes))
    if (text.startsWith(prefix)) return { store, name: text.slice(prefix.length) }
  return undefined
}
