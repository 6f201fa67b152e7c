import { type Archived, type LoadOptions, sockets } from './containerd.ts'
import { ImageError, run } from './run.ts'

const namespace = 'berth-image-load'
const labels = { app: namespace }
/** In seconds; the helper image may have to be pulled first. */
const rolloutTimeout = 300

/**
 * Copies an image to all nodes of a cluster, with the node's own containerd:
 * 1. create a namespace that admits privileged pods, and a DaemonSet in it with the node's files mounted;
 * 2. in each of its pods the node's own `ctr` imports the archive from standard input;
 * 3. delete the namespace, also after a failure.
 */
export async function loadNodes(image: Archived, options: LoadOptions): Promise<void> {
  const { context, socket, helperImage } = options
  const kubectl = ['kubectl', ...(context === undefined ? [] : ['--context', context])]
  const inNamespace = [...kubectl, '--namespace', namespace]
  await run([...kubectl, 'create', 'namespace', namespace], { throttledFor: true })
  try {
    const objects = { apiVersion: 'v1', kind: 'List', items: [admission, daemonSet(helperImage)] }
    await run([...kubectl, 'apply', '--filename=-'], {
      input: JSON.stringify(objects),
      throttledFor: true,
    })
    await run([
      ...inNamespace,
      'rollout',
      'status',
      `daemonset/${namespace}`,
      `--timeout=${rolloutTimeout}s`,
    ])
    for (const { pod, node } of await podsOf(inNamespace)) {
      const script = importing(image.name, socket)
      const command = ['exec', '--stdin', pod, '--', ...inHost, script]
      await run([...inNamespace, ...command], { from: image.file, throttledFor: true })
      process.stdout.write(`${image.name} is on ${node}\n`)
    }
  } finally {
    await run([...kubectl, 'delete', 'namespace', namespace], { throttledFor: true })
  }
}

async function podsOf(kubectl: readonly string[]) {
  const path = 'jsonpath={range .items[*]}{.metadata.name} {.spec.nodeName}{"\\n"}{end}'
  const text = await run([...kubectl, 'get', 'pods', `--output=${path}`], { throttledFor: true })
  const pods = text
    .trim()
    .split('\n')
    .map((line) => line.split(' '))
    .map(([pod = '', node = '']) => ({ pod, node }))
  if (pods.some(({ node }) => node === '')) throw new ImageError('the cluster has no nodes')
  return pods
}

const inHost = ['chroot', '/host', 'sh', '-ec']

/** k3s and RKE2 include a `ctr` that is not on the PATH. kubelets use containerd's namespace `k8s.io`. */
function importing(name: string, socket: string | undefined): string {
  const addresses = socket === undefined ? sockets : [socket]
  return `
for socket in ${addresses.join(' ')}; do [ -S "$socket" ] && break; done
[ -S "$socket" ] || { echo "found no containerd socket at ${addresses.join(' or ')}: set its path with --socket" >&2; exit 1; }
PATH=$PATH:/usr/local/bin:/var/lib/rancher/k3s/data/current/bin:/var/lib/rancher/rke2/bin
ctr -a "$socket" -n k8s.io images import - >/dev/null
ctr -a "$socket" -n k8s.io images label ${name} io.cri-containerd.pinned=pinned >/dev/null`
}

/** Otherwise Pod Security refuses hostPath volumes. */
const admission = {
  apiVersion: 'v1',
  kind: 'Namespace',
  metadata: {
    name: namespace,
    labels: { 'pod-security.kubernetes.io/enforce': 'privileged' },
  },
}

function daemonSet(image: string): object {
  const container = {
    name: 'load',
    image,
    command: ['sh', '-c', 'trap exit TERM; while :; do sleep 1; done'],
    securityContext: { privileged: true },
    volumeMounts: [{ name: 'host', mountPath: '/host', mountPropagation: 'HostToContainer' }],
  }
  return {
    apiVersion: 'apps/v1',
    kind: 'DaemonSet',
    metadata: { name: namespace, namespace },
    spec: {
      selector: { matchLabels: labels },
      template: {
        metadata: { labels },
        spec: {
          automountServiceAccountToken: false,
          terminationGracePeriodSeconds: 1,
          tolerations: [{ operator: 'Exists' }],
          containers: [container],
          volumes: [{ name: 'host', hostPath: { path: '/' } }],
        },
      },
    },
  }
}
