import { mkdir, writeFile } from 'node:fs/promises'
import { dirname, join } from 'node:path'
import { stringify } from 'yaml'
import { removeCgroups } from './cgroups.ts'
import type { ClusterNetwork } from './cluster-network.ts'
import { type Namespaces, startNamespaces } from './namespaces.ts'
import { type Program, tool } from './programs.ts'
import { until } from './until.ts'

/** In which of its modes kube-proxy brings connections to services. */
export type ProxyMode = 'iptables' | 'nftables'

/** One machine of a cluster: a kubelet with a containerd of its own, and kube-proxy. */
export interface ClusterNode extends Pick<Namespaces, 'run' | 'attempt' | 'keep'> {
  readonly name: string
  readonly address: string
  /** Which containerd it has. */
  readonly runtime: string
  /** What is `/etc/containerd` on it; `certs.d` below is containerd's `config_path`. */
  readonly configuration: string
  /** Makes an image known to it, from a file that `docker save` or buildah wrote. */
  importImage(file: string): Promise<void>
  /** Starts kube-proxy, in another mode than before, if it runs already. */
  startProxy(mode: ProxyMode): Promise<void>
  /** Starts containerd, and waits until it answers. */
  startRuntime(): Promise<void>
  /** Starts the kubelet, once there is an API server. */
  startKubelet(kubeconfig: string): Promise<void>
  /**
   * Restarts the kubelet with a credential provider: its configuration, and the directory of programs.
   * `settings`: fields of the kubelet's own configuration.
   */
  provideCredentials(configuration: string, programs: string, settings?: object): Promise<void>
  /** Kills all its processes and starts it again, with the same disk. */
  reboot(): Promise<void>
  close(): Promise<void>
}

type Options = {
  /** From 1 on. */
  readonly n: number
  /** How many there are. */
  readonly all: number
  readonly network: ClusterNetwork
  /** The whole cluster's. */
  readonly directory: string
  readonly logs: string
  /** Fields of the kubelet's own configuration. */
  readonly settings?: object
}

/** The first node has Debian's containerd, the second one a containerd of today, and so on. */
const runtimes = [
  { runtime: 'containerd 1.6', containerd: () => '/usr/bin/containerd', ctr: () => '/usr/bin/ctr' },
  {
    runtime: 'containerd 2',
    containerd: () => tool('containerd'),
    ctr: () => tool('ctr'),
  },
] as const

/** A node that has a network, and nothing that runs on it yet. */
export async function startClusterNode(options: Options): Promise<ClusterNode> {
  const { n, all, network, logs, settings: ownSettings = {} } = options
  const name = `node${n}`
  const address = network.node(n)
  const directory = join(options.directory, name)
  const at = (path: string) => join(directory, path)
  const { runtime, containerd, ctr } = runtimes[(n - 1) % 2 === 0 ? 0 : 1]
  for (const path of ['lib', 'lib-work', 'cni', 'etc-containerd/certs.d', 'kubelet'])
    await mkdir(at(path), { recursive: true })
  const switchOn = async (): Promise<Namespaces> => {
    const started = await startNamespaces(ownDirectories(at))
    await network.connect(n, started, all)
    return started
  }
  const imagesOf = [ctr(), '--namespace=k8s.io', 'images']
  let namespaces = await switchOn()
  let proxy: Program | undefined
  let proxyMode: ProxyMode | undefined
  let kubelet: Program | undefined
  let kubeletConfig: string | undefined
  let providerFlags: readonly string[] = []
  let kubeletChanges = ownSettings

  const launch = (program: string, command: readonly string[]): Program =>
    namespaces.keep(command, join(logs, `${name}-${program}.log`))

  const writeKubeletSettings = () =>
    writeFile(at('kubelet.yaml'), stringify({ ...kubeletSettings(at), ...kubeletChanges }))

  const startProxy = async (mode: ProxyMode) => {
    proxyMode = mode
    await proxy?.kill()
    await writeFile(at('proxy.yaml'), stringify(proxyConfig(mode, { name, network, options })))
    proxy = launch('kube-proxy', [tool('kube-proxy'), `--config=${at('proxy.yaml')}`])
  }

  const startRuntime = async () => {
    await writeFile(at('cni/10-bridge.conflist'), JSON.stringify(cniConfig(n, network), null, 2))
    await writeFile(at('etc-containerd/config.toml'), containerdConfig(at))
    // Its shim is the one beside it, and not that of the other version.
    const programs = `PATH=${dirname(containerd())}:/usr/sbin:/usr/bin:/sbin:/bin`
    const configured = ['--config', '/etc/containerd/config.toml']
    launch('containerd', ['env', programs, containerd(), ...configured])
    await until(`${name} has a runtime`, () => namespaces.run([ctr(), 'version']))
  }

  const startKubelet = async (kubeconfig: string) => {
    kubeletConfig = kubeconfig
    await writeKubeletSettings()
    launchKubelet(kubeconfig)
  }

  const launchKubelet = (kubeconfig: string) => {
    kubelet = launch('kubelet', [
      tool('kubelet'),
      `--config=${at('kubelet.yaml')}`,
      `--kubeconfig=${kubeconfig}`,
      `--root-dir=${at('kubelet')}`,
      `--cert-dir=${at('pki')}`,
      `--hostname-override=${name}`,
      `--node-ip=${address}`,
      ...providerFlags,
    ])
  }

  const close = async () => {
    await namespaces.close()
    await removeCgroups(at('containerd'))
  }

  return {
    name,
    address,
    runtime,
    configuration: at('etc-containerd'),
    run: (command, given) => namespaces.run(command, given),
    attempt: (command, given) => namespaces.attempt(command, given),
    keep: (command, log) => namespaces.keep(command, log),
    importImage: async (file) => {
      await namespaces.run([...imagesOf, 'import', file])
    },
    startProxy,
    startRuntime,
    startKubelet,
    provideCredentials: async (configuration, programs, settings = {}) => {
      kubeletChanges = { ...ownSettings, ...settings }
      providerFlags = [
        `--image-credential-provider-config=${configuration}`,
        `--image-credential-provider-bin-dir=${programs}`,
      ]
      await writeKubeletSettings()
      await kubelet?.kill()
      if (kubeletConfig !== undefined) launchKubelet(kubeletConfig)
    },
    reboot: async () => {
      await close()
      namespaces = await switchOn()
      await startRuntime()
      if (kubeletConfig !== undefined) await startKubelet(kubeletConfig)
      if (proxyMode !== undefined) await startProxy(proxyMode)
    },
    close,
  }
}

/** What programs of a node write to fixed places stays on the node. */
function ownDirectories(at: (path: string) => string): string {
  return [
    'mount --make-rshared /',
    'mount -t tmpfs tmpfs /run',
    'mount -t tmpfs tmpfs /var/log',
    `mount -t overlay -o lowerdir=/var/lib,upperdir=${at('lib')},workdir=${at('lib-work')} overlay /var/lib`,
    `mount --bind ${at('etc-containerd')} /etc/containerd`,
  ].join('\n')
}

function cniConfig(n: number, network: ClusterNetwork): unknown {
  const ipam = {
    type: 'host-local',
    ranges: [[{ subnet: network.podsOf(n) }]],
    routes: [{ dst: '0.0.0.0/0' }],
  }
  const bridge = {
    type: 'bridge',
    bridge: 'cni0',
    isGateway: true,
    ipMasq: true,
    hairpinMode: true,
  }
  const portmap = { type: 'portmap', capabilities: { portMappings: true } }
  return { cniVersion: '1.0.0', name: 'pods', plugins: [{ ...bridge, ipam }, portmap] }
}

/** Both versions of containerd understand it. Nobody here may make the kernel prefer to kill others. */
function containerdConfig(at: (path: string) => string): string {
  return `
version = 2
root = "${at('containerd')}"
state = "/run/containerd"
[plugins."io.containerd.grpc.v1.cri"]
  sandbox_image = "${pauseImage}"
  restrict_oom_score_adj = true
  [plugins."io.containerd.grpc.v1.cri".cni]
    bin_dir = "/usr/lib/cni"
    conf_dir = "${at('cni')}"
  [plugins."io.containerd.grpc.v1.cri".registry]
    config_path = "/etc/containerd/certs.d"
[plugins."io.containerd.internal.v1.opt"]
  path = "${at('opt')}"
`
}

/** What holds a pod's name spaces. */
export const pauseImage = 'registry.k8s.io/pause:3.10'

/** For a machine where we may do less than root usually can, and whose disk may be nearly full. */
function kubeletSettings(at: (path: string) => string) {
  return {
    apiVersion: 'kubelet.config.k8s.io/v1beta1',
    kind: 'KubeletConfiguration',
    containerRuntimeEndpoint: 'unix:///run/containerd/containerd.sock',
    // Its ports are in name spaces that only we can enter.
    authentication: { anonymous: { enabled: true }, webhook: { enabled: false } },
    authorization: { mode: 'AlwaysAllow' },
    cgroupDriver: 'cgroupfs',
    cgroupsPerQOS: false,
    enforceNodeAllocatable: [],
    failSwapOn: false,
    failCgroupV1: false,
    oomScoreAdj: 0,
    // Volumes from images are on by default from Kubernetes 1.35.
    featureGates: { KubeletInUserNamespace: true, ImageVolume: true },
    imageGCHighThresholdPercent: 100,
    evictionHard: {
      'imagefs.available': '1Mi',
      'memory.available': '1Mi',
      'nodefs.available': '1Mi',
    },
    resolvConf: '',
    volumePluginDir: at('plugins'),
    syncFrequency: '10s',
    registryPullQPS: 0,
  }
}

type ProxyOptions = {
  readonly name: string
  readonly network: ClusterNetwork
  readonly options: Options
}

function proxyConfig(mode: ProxyMode, { name, network, options }: ProxyOptions): unknown {
  return {
    apiVersion: 'kubeproxy.config.k8s.io/v1alpha1',
    kind: 'KubeProxyConfiguration',
    mode,
    hostnameOverride: name,
    clusterCIDR: network.pods,
    clientConnection: { kubeconfig: join(options.directory, 'control-plane', 'admin.conf') },
    // Limits of connection tracking belong to the machine.
    conntrack: { maxPerCore: 0, min: 0, tcpEstablishedTimeout: '0s', tcpCloseWaitTimeout: '0s' },
    healthzBindAddress: '127.0.0.1:10256',
    metricsBindAddress: '127.0.0.1:10249',
  }
}
