import { createHash } from 'node:crypto'
import type { Place } from './place.ts'
import type { Registry } from './registry-resource.ts'

export type SurrogateOptions = {
  /** Of Berth. */
  readonly image: string
  readonly imagePullPolicy?: string | undefined
  /** Names of imagePullSecrets for it, in the namespaces of Registries. */
  readonly imagePullSecrets: readonly string[]
}

export const registryLabel = 'berth.dev/registry'
/** Of the surrogates' pods, and nothing else. */
export const surrogateSelector =
  'app.kubernetes.io/name=berth,app.kubernetes.io/component=surrogate'
/** Of the objects that the operator has made. */
export const managedSelector =
  'app.kubernetes.io/managed-by=berth-operator,app.kubernetes.io/component=surrogate'
/** Which configuration a pod has. */
export const configLabel = 'berth.dev/config'
const clientPort = 30_026
const spoolPort = 8086
/** The image's own user. */
const user = 65_532
const loginDirectory = '/etc/berth/login'
const tokenDirectory = '/etc/berth/token'
const authorityDirectory = '/etc/berth/authority'
/** Read by the pod's group. */
const secretMode = 0o440
/** Seconds. The kubelet renews the token before. */
const tokenLifetime = 3600

const containerSecurity = {
  allowPrivilegeEscalation: false,
  readOnlyRootFilesystem: true,
  capabilities: { drop: ['ALL'] },
}

export function surrogateName({ name }: { readonly name: string }): string {
  return `${name}-surrogate`
}

/** A name of the configuration, for pods. */
function configHash(template: object): string {
  return createHash('sha256').update(JSON.stringify(template)).digest('hex').slice(0, 16)
}

/**
 * The Deployment that belongs to a Registry, and the hash of its configuration. Secrets are mounted, and may be
 * missing: the surrogate says so, where a pod would not start.
 */
export function surrogateDeployment(
  { metadata, spec }: Registry,
  place: Place,
  options: SurrogateOptions,
) {
  const { name, namespace, uid } = metadata
  const selector = {
    'app.kubernetes.io/name': 'berth',
    'app.kubernetes.io/component': 'surrogate',
    [registryLabel]: name,
  }
  const podSpec = {
    ...identityOf(place),
    automountServiceAccountToken: false,
    enableServiceLinks: false,
    terminationGracePeriodSeconds: 30,
    imagePullSecrets: options.imagePullSecrets.map((secret) => ({ name: secret })),
    initContainers: isSpooling(spec) ? [spooler(place, options)] : [],
    containers: [surrogate(spec, place, options)],
    volumes: volumes(spec, place),
  }
  const annotations = { 'berth.dev/host': place.host, 'berth.dev/prefix': place.prefix }
  const config = configHash({ podSpec, annotations })
  const deployment = {
    apiVersion: 'apps/v1',
    kind: 'Deployment',
    metadata: {
      name: surrogateName(metadata),
      namespace,
      labels: { ...selector, 'app.kubernetes.io/managed-by': 'berth-operator' },
      ownerReferences: [
        {
          apiVersion: 'berth.dev/v1alpha1',
          kind: 'Registry',
          name,
          uid,
          controller: true,
          blockOwnerDeletion: true,
        },
      ],
    },
    spec: {
      replicas: 1,
      revisionHistoryLimit: 2,
      // The spool of a pod goes with it, and requests go on until the next pod is ready.
      strategy: { type: 'RollingUpdate', rollingUpdate: { maxUnavailable: 0, maxSurge: 1 } },
      selector: { matchLabels: selector },
      template: {
        metadata: { labels: { ...selector, [configLabel]: config }, annotations },
        spec: podSpec,
      },
    },
  }
  return { deployment, config }
}

/** OpenShift chooses the user of a pod by itself, and the token is that of the pod's service account. */
function identityOf({ login }: Place) {
  const seccompProfile = { type: 'RuntimeDefault' }
  if (login.kind === 'service-account')
    return {
      serviceAccountName: login.name,
      securityContext: { runAsNonRoot: true, seccompProfile },
    }
  const ids = { runAsUser: user, runAsGroup: user, fsGroup: user }
  return { securityContext: { runAsNonRoot: true, ...ids, seccompProfile } }
}

function isSpooling({ spool }: Registry['spec']): boolean {
  return spool?.enabled ?? true
}

function surrogate(spec: Registry['spec'], place: Place, options: SurrogateOptions) {
  const probe = (path: string) => ({ httpGet: { path, port: 'admin' }, timeoutSeconds: 3 })
  return {
    name: 'berth',
    ...imageOf(options),
    args: ['surrogate', ...argumentsOf(spec, place)],
    ports: [
      { name: 'registry', containerPort: clientPort, protocol: 'TCP' },
      { name: 'admin', containerPort: 9026, protocol: 'TCP' },
    ],
    startupProbe: { ...probe('/livez'), periodSeconds: 1, failureThreshold: 60 },
    readinessProbe: { ...probe('/readyz'), periodSeconds: 5 },
    livenessProbe: { ...probe('/livez'), periodSeconds: 15, failureThreshold: 4 },
    resources: { requests: { cpu: '10m', memory: '128Mi' }, limits: { memory: '512Mi' } },
    securityContext: containerSecurity,
    volumeMounts: [
      { name: 'run', mountPath: '/run/berth' },
      ...(place.authority === undefined
        ? []
        : [{ name: 'authority', mountPath: authorityDirectory, readOnly: true }]),
      ...loginMount(place),
    ],
  }
}

function imageOf({ image, imagePullPolicy }: SurrogateOptions) {
  return { image, ...(imagePullPolicy !== undefined && { imagePullPolicy }) }
}

function loginMount({ login }: Place) {
  switch (login.kind) {
    case 'none':
      return []
    case 'secret':
      return [{ name: 'login', mountPath: loginDirectory, readOnly: true }]
    case 'service-account':
      return [{ name: 'login', mountPath: tokenDirectory, readOnly: true }]
  }
}

/** No secret is among them: who may read pods may not read Secrets. */
function argumentsOf(
  { credentials, redirects }: Registry['spec'],
  place: Place,
): readonly string[] {
  const { url, aliases, authority, serverName, prefix, login } = place
  const each = (flag: string, values: readonly string[] = []) =>
    values.map((value) => `${flag}=${value}`)
  return [
    `--registry=${url}`,
    ...each('--alias', aliases),
    ...each('--prefix', prefix === '' ? [] : [prefix]),
    ...each('--certificate', authority === undefined ? [] : [`${authorityDirectory}/ca.crt`]),
    ...each('--server-name', serverName === undefined ? [] : [serverName]),
    ...each('--token-realm', credentials?.tokenRealms),
    ...each('--redirect', redirects),
    ...(login.kind === 'secret'
      ? [`--secret=${loginDirectory}`, `--secret-name=${login.name}`]
      : []),
    ...(login.kind === 'service-account' ? [`--token-file=${tokenDirectory}/token`] : []),
  ]
}

/** A native sidecar, as in the chart. It pushes through the surrogate, so it needs no login. */
function spooler({ prefix }: Place, options: SurrogateOptions) {
  return {
    name: 'spooler',
    restartPolicy: 'Always',
    ...imageOf(options),
    args: ['spool'],
    env: [
      { name: 'REGISTRY_SPOOLER_REGISTRY', value: `http://127.0.0.1:${clientPort}` },
      { name: 'REGISTRY_SPOOLER_PREFIX', value: prefix },
      { name: 'TMPDIR', value: '/spool/.berth' },
    ],
    ports: [{ name: 'spool', containerPort: spoolPort, protocol: 'TCP' }],
    livenessProbe: {
      httpGet: { path: '/live', port: 'spool' },
      periodSeconds: 15,
      timeoutSeconds: 3,
      failureThreshold: 4,
    },
    resources: { requests: { cpu: '10m', memory: '128Mi' }, limits: { memory: '512Mi' } },
    securityContext: containerSecurity,
    volumeMounts: [{ name: 'spool', mountPath: '/spool' }],
  }
}

function volumes(spec: Registry['spec'], place: Place) {
  const { authority, login } = place
  return [
    { name: 'run', emptyDir: { sizeLimit: '16Mi' } },
    ...(isSpooling(spec)
      ? [{ name: 'spool', emptyDir: { sizeLimit: spec.spool?.sizeLimit ?? '10Gi' } }]
      : []),
    ...(authority === undefined ? [] : [authorityVolume(authority)]),
    ...loginVolume(login),
  ]
}

function authorityVolume({ kind, name, key }: NonNullable<Place['authority']>) {
  const content = { items: [{ key, path: 'ca.crt' }], optional: true, defaultMode: secretMode }
  const source =
    kind === 'secret'
      ? { secret: { secretName: name, ...content } }
      : { configMap: { name, ...content } }
  return { name: 'authority', ...source }
}

function loginVolume(login: Place['login']) {
  switch (login.kind) {
    case 'none':
      return []
    case 'secret': {
      const secret = { secretName: login.name, optional: true, defaultMode: secretMode }
      return [{ name: 'login', secret }]
    }
    case 'service-account': {
      const serviceAccountToken = { path: 'token', expirationSeconds: tokenLifetime }
      return [
        {
          name: 'login',
          projected: { defaultMode: secretMode, sources: [{ serviceAccountToken }] },
        },
      ]
    }
  }
}
