import { mkdtempSync, readFileSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { parse, parseAllDocuments, stringify } from 'yaml'
import { attempt, type Finished, tool } from './programs.ts'

export const chart = new URL('../../charts/berth/', import.meta.url).pathname

/** What a value is set to; other things than text are left as they are. */
export type Values = Readonly<Record<string, unknown>>

// biome-ignore lint/suspicious/noExplicitAny: tests read fields of objects of many kinds
type Content = any

/** The fields of a Kubernetes object that tests read. */
export type Manifest = {
  readonly kind: string
  readonly metadata: {
    readonly name: string
    readonly namespace?: string
    readonly labels?: Readonly<Record<string, string>>
    readonly annotations?: Readonly<Record<string, string>>
  }
  readonly spec?: Content
  readonly data?: Content
  readonly rules?: Content
  readonly subjects?: Content
  readonly type?: string
}

export const helms = ['helm3', 'helm4'] as const
/** Helm caches the responses of API servers. */
export const helmHome = mkdtempSync(join(tmpdir(), 'berth-helm-'))
process.once('exit', () => rmSync(helmHome, { recursive: true, force: true }))
/** A Helm that was built from its module assumes an old version of Kubernetes. */
const kubeVersion = ['--kube-version', '1.34.0']

/** Where Berth's image is said to be, as there is no default. */
const image = { repository: 'registry.example.com/berth' }

/** The values that an installation needs: an image, and three. */
export const threeValues = {
  image,
  upstream: 'https://us-central1-docker.pkg.dev',
  google: {
    workloadIdentityProvider:
      'projects/123/locations/global/workloadIdentityPools/cluster/providers/kubernetes',
  },
  htpasswd: { existingSecret: 'berth-users' },
} as const

/** Values from the chart's examples. */
export function exampleValues(
  name: 'ingress' | 'gateway',
): Readonly<Record<string, Readonly<Record<string, unknown>>>> {
  return parse(readFileSync(`${chart}examples/${name}.yaml`, 'utf8'))
}

export const user = `alice:$2y$10$${'abcdefghij.ABCDEFGHIJ/0123456789'.repeat(2).slice(0, 53)}`

const forServiceAccounts = [
  { groups: ['system:serviceaccounts:team-a'], repositories: ['team-a/**'], actions: ['pull'] },
]

/** One of each choice that the chart gives. */
export const matrix: Readonly<Record<string, Values>> = {
  'three values': threeValues,
  'pods that get blobs for each other': {
    ...threeValues,
    replicas: 3,
    peers: { enabled: true, existingSecret: 'peers' },
    networkPolicy: { egress: { enabled: true } },
  },
  'hosted repositories on a volume': {
    ...threeValues,
    replicas: 1,
    hosted: { enabled: true, storageClass: 'fast', size: '200Gi' },
    config: {
      hosted: [{ prefix: 'local' }, { prefix: 'team' }],
      auth: {
        access: [
          { users: ['*'], repositories: ['**'], actions: ['pull'] },
          { users: ['ci'], repositories: ['local/**'], actions: ['push', 'delete'] },
        ],
      },
    },
  },
  'hosted repositories and a cache in buckets of a store with the API of S3': {
    ...threeValues,
    replicas: 3,
    peers: { enabled: true, existingSecret: 'peers' },
    aws: { existingSecret: 'keys' },
    networkPolicy: { egress: { enabled: true } },
    config: {
      hosted: [{ prefix: 'team' }],
      storage: {
        hosted: { bucket: { type: 's3', name: 'images', endpoint: 'http://s3.storage:8333' } },
        cache: { bucket: { type: 's3', name: 'cache', endpoint: 'http://s3.storage:8333' } },
      },
    },
  },
  'a spooler beside hosted repositories': {
    ...threeValues,
    replicas: 1,
    hosted: { enabled: true, storageClass: 'fast', size: '200Gi' },
    spool: {
      enabled: true,
      user: 'spool',
      passwordSecret: 'spool-login',
      prefix: 'local/team',
      extraArgs: ['--compression', 'zstd'],
    },
    metrics: { podMonitor: { enabled: true } },
  },
  'a spooler on a volume, over TLS': {
    ...threeValues,
    replicas: 1,
    hosted: { enabled: true, storageClass: 'fast', size: '200Gi' },
    tls: { enabled: true, certManager: { enabled: true } },
    spool: {
      enabled: true,
      user: 'spool',
      passwordSecret: 'spool-login',
      persistence: { enabled: true, storageClass: 'fast', size: '30Gi' },
    },
    metrics: { serviceMonitor: { enabled: true } },
  },
  'spoolers on a shared volume, for an upstream that takes pushes': {
    ...threeValues,
    replicas: 3,
    config: {
      upstreams: [{ prefix: 'team', url: 'https://registry.example.com', push: true }],
    },
    tls: { enabled: true, existingSecret: 'tls' },
    spool: {
      enabled: true,
      user: 'spool',
      passwordSecret: 'spool-login',
      prefix: 'team',
      persistence: { enabled: true, existingClaim: 'spool', accessModes: ['ReadWriteMany'] },
      tls: { caSecret: 'tls', serverName: 'berth.example.com' },
    },
  },
  'hosted repositories on a shared volume, with a cache on a volume': {
    ...threeValues,
    replicas: 1,
    hosted: { enabled: true, existingClaim: 'shared', accessModes: ['ReadWriteMany'] },
    persistence: { enabled: true, existingClaim: 'images', size: '100Gi' },
    networkPolicy: { egress: { enabled: true } },
  },
  'images in use are evicted last, and downloaded in advance': {
    ...threeValues,
    inUse: { enabled: true, warmUp: { enabled: true } },
    config: { inUse: { warmUp: { namespaces: ['prod-*'] } } },
  },
  'service accounts, verified by reviews, and kubelets that request tokens for them': {
    ...threeValues,
    auth: { serviceAccounts: { enabled: true, method: 'token-review', kubelets: true } },
    config: { auth: { access: forServiceAccounts } },
    networkPolicy: { egress: { enabled: true } },
    trust: { enabled: true, credentialProvider: '/opt/berth' },
  },
  'service accounts alone, verified by keys': {
    ...threeValues,
    htpasswd: {},
    auth: { serviceAccounts: { enabled: true } },
    config: { auth: { access: forServiceAccounts } },
  },
  'everybody may pull': {
    image,
    upstream: 'https://registry-1.docker.io',
    config: { auth: { anonymous: 'pull' } },
  },
  'a DaemonSet behind a NodePort of each node': {
    ...threeValues,
    kind: 'DaemonSet',
    service: {
      externalTrafficPolicy: 'Local',
      internalTrafficPolicy: 'Local',
      annotations: { a: 'b' },
      ipFamilyPolicy: 'PreferDualStack',
    },
    priorityClassName: 'system-node-critical',
    tolerations: [{ operator: 'Exists' }],
    nodeSelector: { 'kubernetes.io/os': 'linux' },
  },
  'a port of the host': { ...threeValues, exposure: { mode: 'hostPort' } },
  'the network of the host': {
    ...threeValues,
    exposure: { mode: 'hostNetwork' },
    htpasswd: {},
  },
  'the network of the host, with metrics': {
    ...threeValues,
    exposure: { mode: 'hostNetwork', hostNetwork: { adminHost: '0.0.0.0' } },
    metrics: { podMonitor: { enabled: true, labels: { release: 'prometheus' } } },
  },
  mirror: {
    ...threeValues,
    exposure: { mode: 'mirror', mirror: { hosts: ['us-central1-docker.pkg.dev', 'docker.io'] } },
    config: { upstreams: [{ prefix: 'docker.io', url: 'https://registry-1.docker.io' }] },
    trust: {
      runtimes: ['containerd', 'k3s', 'rke2', 'docker', 'cri-o'],
      hostPaths: [{ path: '/run/containerd/containerd.sock', type: 'Socket', readOnly: true }],
      extraArgs: ['--log-level=debug'],
    },
  },
  'an Ingress with certificates of our own authority': {
    ...threeValues,
    exposure: { mode: 'service' },
    ingress: {
      enabled: true,
      className: 'nginx',
      host: 'berth.example.com',
      tlsSecret: 'berth-ingress',
      annotations: { 'nginx.ingress.kubernetes.io/proxy-body-size': '0' },
    },
    tls: { enabled: true, certManager: { enabled: true, dnsNames: ['berth.example.com'] } },
    trust: { enabled: true },
    networkPolicy: {
      enabled: true,
      monitoringFrom: [{ namespaceSelector: { matchLabels: { name: 'monitoring' } } }],
      egress: { enabled: true },
    },
  },
  'the example with an Ingress': {
    ...exampleValues('ingress'),
    image,
    htpasswd: { lines: [user] },
  },
  'the example with a Gateway': {
    ...exampleValues('gateway'),
    image,
    htpasswd: { lines: [user] },
  },
  'a route that passes TLS through': {
    ...threeValues,
    exposure: { mode: 'service' },
    route: {
      enabled: true,
      kind: 'TLSRoute',
      host: 'berth.example.com',
      parentRefs: [{ name: 'public', namespace: 'gateways', sectionName: 'tls' }],
    },
    tls: { enabled: true, certManager: { enabled: true } },
    trust: { enabled: true },
  },
  'a route whose Gateway verifies Berth, and an Ingress with the same host': {
    ...threeValues,
    exposure: { mode: 'service' },
    ingress: { enabled: true, host: 'berth.example.com', tlsSecret: 'berth-ingress' },
    route: {
      enabled: true,
      host: 'berth.example.com',
      annotations: { a: 'b' },
      parentRefs: [{ name: 'public' }],
      timeouts: { request: '0s' },
      caConfigMap: 'authorities',
    },
    tls: { enabled: true, existingSecret: 'berth-tls' },
    trust: { enabled: true, caSecret: 'berth-ingress' },
  },
  'a LoadBalancer with certificates of another issuer': {
    ...threeValues,
    exposure: { mode: 'service', port: 5000 },
    service: { type: 'LoadBalancer', loadBalancerSourceRanges: ['10.0.0.0/8'] },
    tls: {
      enabled: true,
      certManager: {
        enabled: true,
        issuerRef: { name: 'ours', kind: 'ClusterIssuer' },
        ipAddresses: ['10.1.2.3'],
      },
    },
  },
  'a volume': {
    ...threeValues,
    replicas: 1,
    persistence: { enabled: true, storageClass: 'fast', size: '100Gi', keep: true },
  },
  'a volume that is there already': {
    ...threeValues,
    replicas: 1,
    persistence: { enabled: true, existingClaim: 'images', size: '100Gi' },
    storage: { cacheLimit: '60Gi' },
  },
  'all that watches': {
    ...threeValues,
    metrics: {
      serviceMonitor: {
        enabled: true,
        interval: '15s',
        scrapeTimeout: '10s',
        labels: { release: 'prometheus' },
        relabelings: [{ sourceLabels: ['__meta_kubernetes_pod_node_name'], targetLabel: 'node' }],
        metricRelabelings: [{ regex: 'nodejs_.*', sourceLabels: ['__name__'], action: 'drop' }],
      },
      prometheusRule: { enabled: true, runbookBase: 'https://example.com/runbook' },
      dashboard: { enabled: true, namespace: 'monitoring', annotations: { folder: 'Images' } },
    },
  },
  'all that scales': {
    ...threeValues,
    autoscaling: { enabled: true, maxReplicas: 9 },
    podDisruptionBudget: { maxUnavailable: '25%' },
    topologySpreadConstraints: [
      {
        maxSkew: 1,
        topologyKey: 'topology.kubernetes.io/zone',
        whenUnsatisfiable: 'DoNotSchedule',
      },
    ],
    affinity: { nodeAffinity: {} },
  },
  "Amazon's identity": {
    image,
    upstream: 'https://123456789012.dkr.ecr.eu-west-1.amazonaws.com',
    aws: { roleArn: 'arn:aws:iam::123456789012:role/berth' },
    htpasswd: { lines: [user] },
  },
  "Azure's identity": {
    image,
    upstream: 'https://ours.azurecr.io',
    azure: { clientId: 'f0000000-0000-0000-0000-000000000000', tenantId: 'tenant' },
    htpasswd: { lines: `${user}\n` },
  },
  "Google's identity on GKE": {
    image,
    upstream: 'https://europe-docker.pkg.dev',
    google: { gkeServiceAccount: 'puller@project.iam.gserviceaccount.com' },
    networkPolicy: { egress: { enabled: true } },
    htpasswd: { existingSecret: 'users', key: 'auth' },
  },
  'secrets for pods': {
    ...threeValues,
    pullSecret: { namespaces: ['default', 'kube-public'], username: 'alice', password: 'secret' },
    localRegistryHosting: { enabled: true, help: 'https://example.com/registry' },
  },
  'all that is extra': {
    ...threeValues,
    nameOverride: 'images',
    commonLabels: { team: 'platform' },
    podLabels: { app: 'berth' },
    podAnnotations: { note: 'here' },
    workloadAnnotations: { owner: 'platform' },
    revisionHistoryLimit: 1,
    imagePullSecrets: ['own'],
    image: { repository: 'registry.example.com/berth', digest: `sha256:${'a'.repeat(64)}` },
    extraEnv: [{ name: 'HTTPS_PROXY', value: 'http://proxy:3128' }],
    extraArgs: ['--log-level=debug'],
    extraVolumes: [{ name: 'authorities', configMap: { name: 'authorities' } }],
    extraVolumeMounts: [{ name: 'authorities', mountPath: '/etc/authorities' }],
    extraObjects: [
      { apiVersion: 'v1', kind: 'ConfigMap', metadata: { name: '{{ .Release.Name }}-more' } },
      'apiVersion: v1\nkind: ConfigMap\nmetadata: {name: "{{ .Release.Name }}-text"}',
    ],
    updateStrategy: { type: 'Recreate' },
    tests: { doctor: { nodes: ['one', 'two', 'three'], maxNodes: 2 } },
    config: {
      log: { level: 'warn' },
      shutdown: { delay: '1s' },
      storage: { cache: { scrubRate: '1MiB' } },
      upstreams: [
        {
          prefix: 'ghcr.io',
          url: 'https://ghcr.io',
          credentials: {
            type: 'static',
            username: 'us',
            passwordFile: '/etc/authorities/password',
          },
        },
      ],
    },
  },
}

/** Runs Helm with values, if the command takes any, from its standard input. */
export function helm(
  words: readonly string[],
  values: Values | undefined,
  program: (typeof helms)[number] = 'helm3',
  environment: Readonly<Record<string, string>> = {},
): Promise<Finished> {
  return attempt([tool(program), ...words, ...(values === undefined ? [] : ['--values', '-'])], {
    // Helm reads YAML 1.1, to which `yes` is true.
    input: stringify(values ?? {}, { version: '1.1' }),
    environment: { HOME: helmHome, ...environment },
  })
}

/** `from`: the chart itself, or a package of it. */
export function template(
  values: Values,
  program?: (typeof helms)[number],
  from = chart,
): Promise<Finished> {
  const words = ['template', 'berth', from, '--namespace', 'images', ...kubeVersion]
  return helm(words, values, program)
}

export function lint(values: Values, program?: (typeof helms)[number]): Promise<Finished> {
  return helm(['lint', '--strict', chart, ...kubeVersion], values, program)
}

/** All objects that the chart makes of the values. */
export async function render(values: Values): Promise<readonly Manifest[]> {
  const { status, stdout, output } = await template(values)
  if (status !== 0) throw new Error(output)
  return parseAllDocuments(stdout).flatMap((document) => {
    const parsed: unknown = document.toJS()
    return isManifest(parsed) ? [parsed] : []
  })
}

function isManifest(value: unknown): value is Manifest {
  return typeof value === 'object' && value !== null && 'kind' in value && 'metadata' in value
}

/** The one object of a kind, and of a name if there may be more. */
export function find(manifests: readonly Manifest[], kind: string, name?: string): Manifest {
  const found = manifests.filter(
    (each) => each.kind === kind && (name === undefined || each.metadata.name === name),
  )
  const [only] = found
  if (only === undefined || found.length > 1)
    throw new Error(`${found.length} of ${kind} ${name ?? ''} among ${namesOf(manifests)}`)
  return only
}

export function namesOf(manifests: readonly Manifest[]): readonly string[] {
  return manifests.map(({ kind, metadata }) => `${kind} ${metadata.name}`)
}
