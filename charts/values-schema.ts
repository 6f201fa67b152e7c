import { jsonSchema } from '../src/config/config.ts'

/** A JSON Schema, as far as it is looked into here. */
type Schema = { readonly [keyword: string]: unknown }
type Properties = Readonly<Record<string, Schema>>

const text = { type: 'string' }
const name = { type: 'string', pattern: '^[a-z0-9]([-a-z0-9.]*[a-z0-9])?$' }
const maybeName = either({ const: '' }, name)
const yesOrNo = { type: 'boolean' }
const texts = { type: 'array', items: text }
const names = { type: 'array', items: name }
const port = { type: 'integer', minimum: 1, maximum: 65_535 }
const count = { type: 'integer', minimum: 0 }
const quantity = either(
  { type: 'string', pattern: '^[0-9]+(\\.[0-9]+)?([kMGT]|[KMGT]i)?$' },
  { type: 'integer', minimum: 1 },
)
const maybeQuantity = either({ const: '' }, quantity)
const url = { type: 'string', pattern: '^https?://[^/\\s@?#]+[^\\s@?#]*$' }
const maybeUrl = either({ const: '' }, url)
const interval = { type: 'string', pattern: '^([0-9]+(ms|s|m|h))+$' }
const percentage = { type: 'string', pattern: '^[0-9]+%$' }
/** What Kubernetes has definitions of its own for, and checks by itself. */
const map = { type: 'object' }
const labels = { type: 'object', additionalProperties: text }
const list = { type: 'array' }
const maps = { type: 'array', items: map }

const claim = {
  existingClaim: maybeName,
  storageClass: text,
  size: quantity,
  accessModes: {
    type: 'array',
    minItems: 1,
    items: { enum: ['ReadWriteOnce', 'ReadWriteOncePod', 'ReadWriteMany'] },
  },
  annotations: labels,
  keep: yesOrNo,
}

const monitor = object({
  enabled: yesOrNo,
  interval,
  scrapeTimeout: either({ const: '' }, interval),
  labels,
  relabelings: maps,
  metricRelabelings: maps,
})

/** A line of htpasswd; nothing but bcrypt, so that no password in clear gets in by mistake. */
const bcrypt = '[^:\\s]+:\\$2[aby]\\$[0-9]{2}\\$[./A-Za-z0-9]{53}'

/** What the chart itself writes into berth.yaml, and what must not stand in a ConfigMap. */
const decidedByTheChart = [
  'listen',
  'admin',
  'tls',
  'auth.htpasswd',
  'auth.serviceAccounts',
  'replicas',
  'storage.directory',
  'storage.cache.directory',
  'storage.cache.maxSize',
]

/** The schema of the chart's values; what they say of berth.yaml is that of the configuration. */
export function valuesSchema(): Schema {
  return {
    $schema: 'http://json-schema.org/draft-07/schema#',
    title: 'Values of the chart berth',
    ...object({
      upstream: maybeUrl,
      upstreamCredentials: map,
      google: object({
        workloadIdentityProvider: either(
          { const: '' },
          {
            type: 'string',
            pattern:
              '^((https:)?//[^/]+/)?projects/[^/]+/locations/[^/]+/workloadIdentityPools/[^/]+/providers/[^/]+$',
          },
        ),
        impersonate: either({ const: '' }, { type: 'string', pattern: '^[^@\\s]+@[^@\\s]+$' }),
        gkeServiceAccount: either(
          { const: '' },
          { type: 'string', pattern: '^[^@\\s]+@[^@\\s]+$' },
        ),
        tokenUrl: url,
        impersonationUrl: url,
        tokenExpirationSeconds: { type: 'integer', minimum: 600, maximum: 86_400 },
      }),
      aws: object({
        roleArn: either({ const: '' }, { type: 'string', pattern: '^arn:[^:]+:iam::[0-9]+:role/' }),
        podIdentity: yesOrNo,
        existingSecret: maybeName,
        region: text,
      }),
      azure: object({ clientId: text, tenantId: text }),
      htpasswd: object({
        existingSecret: maybeName,
        key: { type: 'string', pattern: '^[-._a-zA-Z0-9]+$' },
        lines: either(
          { type: 'array', items: { type: 'string', pattern: `^${bcrypt}$` } },
          { type: 'string', pattern: `^(${bcrypt}\\s+)*(${bcrypt})?$` },
        ),
      }),
      auth: object({
        serviceAccounts: object({
          enabled: yesOrNo,
          audience: { type: 'string', minLength: 1 },
          method: { enum: ['keys', 'published-keys', 'token-review'] },
          issuer: text,
          kubelets: yesOrNo,
        }),
      }),
      exposure: object({
        mode: { enum: ['nodePort', 'hostPort', 'hostNetwork', 'mirror', 'service'] },
        port: { ...port, minimum: 1024 },
        hostNetwork: object({ adminHost: { enum: ['127.0.0.1', '0.0.0.0'] } }),
        mirror: object({ hosts: texts, ipFamily: { enum: ['IPv4', 'IPv6'] } }),
      }),
      service: object({
        type: { enum: ['ClusterIP', 'LoadBalancer'] },
        annotations: labels,
        externalTrafficPolicy: { enum: ['Cluster', 'Local'] },
        internalTrafficPolicy: { enum: ['Cluster', 'Local'] },
        ipFamilyPolicy: { enum: ['', 'SingleStack', 'PreferDualStack', 'RequireDualStack'] },
        loadBalancerSourceRanges: texts,
      }),
      image: object({
        repository: text,
        tag: text,
        digest: either({ const: '' }, { type: 'string', pattern: '^sha256:[a-f0-9]{64}$' }),
        pullPolicy: { enum: ['Always', 'IfNotPresent', 'Never'] },
      }),
      imagePullSecrets: names,
      kind: { enum: ['', 'Deployment', 'DaemonSet'] },
      replicas: count,
      config: configuration(),
      hosted: object({ enabled: yesOrNo, ...claim }),
      spool: object({
        enabled: yesOrNo,
        user: text,
        passwordSecret: maybeName,
        passwordKey: { type: 'string', pattern: '^[-._a-zA-Z0-9]+$' },
        prefix: text,
        sizeLimit: quantity,
        persistence: object({ enabled: yesOrNo, ...claim }),
        tls: object({ caSecret: maybeName, serverName: text }),
        extraArgs: texts,
        resources: map,
      }),
      peers: object({
        enabled: yesOrNo,
        existingSecret: maybeName,
        key: { type: 'string', pattern: '^[-._a-zA-Z0-9]+$' },
      }),
      inUse: object({ enabled: yesOrNo, warmUp: object({ enabled: yesOrNo }) }),
      storage: object({
        sizeLimit: quantity,
        medium: { enum: ['', 'Memory'] },
        cacheLimit: maybeQuantity,
      }),
      persistence: object({ enabled: yesOrNo, ...claim }),
      tls: object({
        enabled: yesOrNo,
        existingSecret: maybeName,
        certManager: object({
          enabled: yesOrNo,
          issuerRef: map,
          dnsNames: texts,
          ipAddresses: texts,
          duration: interval,
          renewBefore: interval,
        }),
      }),
      ingress: object({
        enabled: yesOrNo,
        className: text,
        annotations: labels,
        host: maybeName,
        tlsSecret: maybeName,
      }),
      route: object({
        enabled: yesOrNo,
        kind: { enum: ['HTTPRoute', 'TLSRoute'] },
        annotations: labels,
        parentRefs: maps,
        host: maybeName,
        timeouts: object({ request: interval, backendRequest: interval }),
        caConfigMap: maybeName,
      }),
      pullSecret: object({
        name,
        namespaces: names,
        dockerconfigjson: text,
        username: text,
        password: text,
        servers: texts,
      }),
      serviceAccount: object({ create: yesOrNo, name: maybeName, annotations: labels }),
      trust: object({
        enabled: yesOrNo,
        runtimes: {
          type: 'array',
          uniqueItems: true,
          items: { enum: ['containerd', 'k3s', 'rke2', 'docker', 'cri-o'] },
        },
        hostPaths: {
          type: 'array',
          items: {
            ...object({
              path: { type: 'string', pattern: '^/' },
              type: { enum: ['Directory', 'DirectoryOrCreate', 'File', 'Socket'] },
              readOnly: yesOrNo,
            }),
            required: ['path'],
          },
        },
        registries: texts,
        server: maybeUrl,
        credentialProvider: either({ const: '' }, { type: 'string', pattern: '^/[^/]' }),
        caSecret: maybeName,
        removal: yesOrNo,
        tolerations: maps,
        nodeSelector: labels,
        affinity: map,
        priorityClassName: text,
        resources: map,
        workloadAnnotations: labels,
        podAnnotations: labels,
        podLabels: labels,
        extraArgs: texts,
      }),
      developers: object({
        enabled: yesOrNo,
        access: { enum: ['exec', 'portforward'] },
        subjects: {
          type: 'array',
          items: {
            ...object({
              kind: { enum: ['User', 'Group', 'ServiceAccount'] },
              name: { type: 'string', minLength: 1 },
              namespace: name,
              apiGroup: { enum: ['', 'rbac.authorization.k8s.io'] },
            }),
            required: ['kind', 'name'],
          },
        },
      }),
      localRegistryHosting: object({ enabled: yesOrNo, help: text }),
      metrics: object({
        serviceMonitor: monitor,
        podMonitor: monitor,
        prometheusRule: object({ enabled: yesOrNo, labels, runbookBase: maybeUrl }),
        dashboard: object({
          enabled: yesOrNo,
          namespace: maybeName,
          labels,
          annotations: labels,
        }),
      }),
      networkPolicy: object({
        enabled: yesOrNo,
        monitoringFrom: maps,
        egress: object({ enabled: yesOrNo, rules: maps }),
      }),
      podDisruptionBudget: object({
        enabled: yesOrNo,
        maxUnavailable: either({ type: 'integer', minimum: 1 }, percentage),
      }),
      autoscaling: object({
        enabled: yesOrNo,
        minReplicas: { type: 'integer', minimum: 1 },
        maxReplicas: { type: 'integer', minimum: 1 },
        targetCPUUtilizationPercentage: { type: 'integer', minimum: 1 },
      }),
      resources: map,
      updateStrategy: map,
      terminationGracePeriodSeconds: { type: 'integer', minimum: 1 },
      topologySpreadConstraints: maps,
      priorityClassName: text,
      nodeSelector: labels,
      tolerations: maps,
      affinity: map,
      revisionHistoryLimit: count,
      workloadAnnotations: labels,
      podAnnotations: labels,
      podLabels: labels,
      commonLabels: labels,
      podSecurityContext: map,
      securityContext: map,
      extraEnv: maps,
      extraArgs: texts,
      extraVolumes: maps,
      extraVolumeMounts: maps,
      extraObjects: list,
      tests: object({
        enabled: yesOrNo,
        doctor: object({ enabled: yesOrNo, nodes: names, maxNodes: count }),
      }),
      nameOverride: text,
      fullnameOverride: text,
      namespaceOverride: maybeName,
      // What Helm gives to a chart that is another one's part.
      global: map,
    }),
    allOf: impossible,
  }
}

/** What no cluster could do, whatever else is set. */
const impossible = [
  {
    $comment:
      'a listener on each node is a DaemonSet: two pods of a Deployment would want one port',
    if: valueIs(['exposure', 'mode'], { enum: ['hostPort', 'hostNetwork'] }),
    // biome-ignore lint/suspicious/noThenProperty: it is a keyword of JSON Schema
    then: valueIs(['kind'], { enum: ['', 'DaemonSet'] }),
  },
  {
    $comment: 'a LoadBalancer beside a NodePort would be a second listener on the nodes',
    if: valueIs(['service', 'type'], { const: 'LoadBalancer' }),
    // biome-ignore lint/suspicious/noThenProperty: it is a keyword of JSON Schema
    then: valueIs(['exposure', 'mode'], { const: 'service' }),
  },
  {
    $comment: 'The default range of NodePorts of API servers',
    if: valueIs(['exposure', 'mode'], { enum: ['nodePort', 'mirror'] }),
    // biome-ignore lint/suspicious/noThenProperty: it is a keyword of JSON Schema
    then: valueIs(['exposure', 'port'], { minimum: 30_000, maximum: 32_767 }),
  },
]

function object(properties: Properties): Schema {
  return { type: 'object', additionalProperties: false, properties }
}

function either(...anyOf: readonly Schema[]): Schema {
  return { anyOf }
}

function valueIs(path: readonly string[], schema: Schema): Schema {
  return path.reduceRight<Schema>((inner, key) => ({ properties: { [key]: inner } }), schema)
}

function configuration(): Schema {
  const { $schema: _, ...whole } = jsonSchema() as Schema
  return without(whole, []) ?? {}
}

/** The schema without fields that the chart decides on, or that are secrets; undefined: all of it. */
function without(schema: Schema, path: readonly string[]): Schema | undefined {
  if (decidedByTheChart.includes(path.join('.')) || schema['secret'] === true) return undefined
  // What a chart's values do not say is left to berth.yaml, and there to its own default.
  const { default: _, ...kept } = schema
  return Object.fromEntries(
    Object.entries(kept).map(([keyword, value]) => [keyword, inner(keyword, value, path)]),
  )
}

function inner(keyword: string, value: unknown, path: readonly string[]): unknown {
  if (keyword === 'properties') {
    const properties = Object.entries(value as Properties).flatMap(([key, child]) => {
      const left = without(child, [...path, key])
      return left === undefined ? [] : [[key, left] as const]
    })
    return Object.fromEntries(properties)
  }
  if (keyword === 'items') return without(value as Schema, [...path, '[]'])
  if (keyword === 'oneOf' || keyword === 'anyOf')
    return (value as readonly Schema[]).map((child) => without(child, path))
  return value
}
