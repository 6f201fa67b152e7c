import { stringify } from 'yaml'

/** Programs that create local clusters and have a configuration format of their own. */
export const tools = ['kind', 'k3d', 'ctlptl'] as const
export type Tool = (typeof tools)[number]

export type ClusterShape = {
  readonly name: string
  readonly workers: number
  /** Of `localhost:PORT`, the name of the registry in image references. */
  readonly port: number
  /** URL of the registry from the nodes. */
  readonly server: string
}

/**
 * Lets containerd read `certs.d`. Node images since kind 0.27 (containerd 2) do so by themselves, and accept this table of
 * the older format.
 */
const containerdPatch = `[plugins."io.containerd.grpc.v1.cri".registry]
  config_path = "/etc/containerd/certs.d"
`

/** The configuration of a cluster, as YAML with a comment that says how to use it. */
export function renderCluster(tool: Tool, shape: ClusterShape): string {
  const document = { kind: kindCluster, k3d: k3dCluster, ctlptl: ctlptlCluster }[tool](shape)
  const comment = usage(tool, shape).map((line) => `# ${line}\n`)
  return comment.join('') + stringify(document, { lineWidth: 0 })
}

function usage(tool: Tool, { name, port }: ClusterShape): readonly string[] {
  const attach = [
    `berth kind up --name ${name} --port ${port}   # starts the registry and configures the nodes`,
  ]
  switch (tool) {
    case 'kind':
      return ['kind create cluster --config FILE', ...attach]
    case 'ctlptl':
      return ['ctlptl apply -f FILE', ...attach]
    case 'k3d':
      return [
        `berth kind up --registry-only --port ${port} --network berth`,
        'k3d cluster create --config FILE',
      ]
  }
}

/** kind.x-k8s.io/v1alpha4 (kind, "Configuration"). */
function kindCluster({ name, workers }: ClusterShape) {
  const roles = ['control-plane', ...Array.from({ length: workers }, () => 'worker')]
  return {
    kind: 'Cluster',
    apiVersion: 'kind.x-k8s.io/v1alpha4',
    name,
    nodes: roles.map((role) => ({ role })),
    containerdConfigPatches: [containerdPatch],
  }
}

/** k3d.io/v1alpha5; its registries are those of k3s's `registries.yaml`, where `*` is every other registry. */
function k3dCluster({ name, workers, port, server }: ClusterShape) {
  const mirrors = {
    [`localhost:${port}`]: { endpoint: [server] },
    '*': { endpoint: [server] },
  }
  return {
    apiVersion: 'k3d.io/v1alpha5',
    kind: 'Simple',
    metadata: { name },
    servers: 1,
    agents: workers,
    network: 'berth',
    registries: { config: stringify({ mirrors }) },
  }
}

/** ctlptl.dev/v1alpha1. Without its field `registry`, ctlptl starts no registry of its own. */
function ctlptlCluster(shape: ClusterShape) {
  const { name, kind: _kind, apiVersion: _version, ...cluster } = kindCluster(shape)
  return {
    apiVersion: 'ctlptl.dev/v1alpha1',
    kind: 'Cluster',
    name: `kind-${name}`,
    product: 'kind',
    kindV1Alpha4Cluster: cluster,
  }
}
