import { stringify } from 'yaml'
import type { Platform } from './platforms.ts'

/** An archive for a platform that can be downloaded. */
export type Download = Pick<Platform, 'os' | 'arch'> & {
  readonly uri: string
  readonly sha256: string
  /** The program in it. */
  readonly bin: string
}

type Options = { readonly version: string; readonly homepage: string }

/** The manifest of a plugin for krew, for an index of one's own or for `kubectl krew install --manifest`. */
export function krewManifest(
  downloads: readonly Download[],
  { version, homepage }: Options,
): string {
  return stringify(
    {
      apiVersion: 'krew.googlecontainertools.github.com/v1alpha2',
      kind: 'Plugin',
      metadata: { name: 'berth' },
      spec: {
        version: `v${version}`,
        homepage,
        shortDescription: 'Push and pull images of an in-cluster registry',
        description,
        caveats,
        platforms: downloads.map(({ os, arch, uri, sha256, bin }) => ({
          selector: { matchLabels: { os, arch } },
          uri,
          sha256,
          bin,
          files: [{ from: '*', to: '.' }],
        })),
      },
    },
    { lineWidth: 0 },
  )
}

const description = `Pushes, pulls, lists, copies and deletes images of a Berth registry that runs inside the cluster, through the
cluster's API server: it needs a kubeconfig, and no ingress. Only layers that are missing travel.
"kubectl berth connect" opens the registry at localhost:30026, for docker, crane, skaffold and others.
`
const caveats = `The registry must run in the cluster, and you need the rights to list its pods and to run programs in them
(get and create pods/exec in its namespace), or pods/portforward. Log in as to any registry: docker login localhost:30026.
`
