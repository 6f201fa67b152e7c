import type { Outbound } from '../outbound/outbound.ts'
import {
  defaultEndpoint,
  endpointsOf,
  findRuntimes,
  findSlowHosts,
  isLocalhost,
  type RegistryEndpoints,
  type RegistryHost,
  type Rooted,
  type Runtime,
  type SlowHost,
} from '../trust/trust.ts'
import { checkDockerMirrors } from './docker-mirrors.ts'
import { type Exposure, recommend } from './exposure.ts'
import type { Finding, Step } from './finding.ts'
import { createHostLookup } from './host-lookup.ts'
import { describeAnswer, type ProbeAnswer, probeEitherScheme } from './probe.ts'
import { findProxyMode } from './proxy-mode.ts'
import { type PullResult, portOf, tryToPull, urlOf } from './pull-attempt.ts'
import { createReadableRoot } from './readable-root.ts'

type NodeOptions = {
  readonly rooted: Rooted
  readonly registry: RegistryHost
  readonly outbound: Outbound
  /** Addresses of the node. */
  readonly addresses: readonly string[]
}

export type NodeVerdict = {
  /** Whether the kubelet's runtime can pull. */
  readonly ok: boolean
  /** The `exposure.mode` to set in the chart; undefined if that would not help. */
  readonly exposure: Exposure | undefined
}

/**
 * Checks what answers on the node's addresses, then sends the requests that each runtime of the node
 * would send for a pull. An address that does not answer is no failure by itself, unless a runtime
 * needs it. Never throws.
 */
export async function* checkNode(options: NodeOptions): AsyncGenerator<Finding, NodeVerdict> {
  const { registry } = options
  const { rooted, finding: denial } = createReadableRoot(options.rooted)
  const port = portOf(registry)
  const lookup = await createHostLookup(rooted)
  const localhost = await lookup('localhost')
  yield ok('localhost', `localhost resolves to ${localhost.join(', ')}`)

  const probed: { readonly address: string; readonly answers: boolean }[] = []
  for (const address of new Set(['127.0.0.1', '::1', ...options.addresses])) {
    const { scheme, answer } = await probeEitherScheme({ address, port, host: registry })
    const answers = answer.kind === 'registry'
    probed.push({ address, answers })
    const message = `${urlOf(scheme, address, port)}: ${describeAnswer(answer)}`
    yield { ...ok('address', message), outcome: answers ? 'ok' : 'skipped' }
  }

  const { mode, source } = await findProxyMode(rooted, options.outbound)
  const routeLocalnet = await readRouteLocalnet(rooted)
  const onOrOff = routeLocalnet ? 'on' : 'off'
  yield ok('services', `${mode}: ${source}; route_localnet is ${onOrOff}`)

  const runtimes = (await findRuntimes(rooted)).filter(isInUse)
  const kubeletRuntime = findKubeletRuntime(runtimes)
  const { exposure, reason } = recommend({
    localhostAnswers: probed.some(({ address, answers }) => answers && localhost.includes(address)),
    nodeAnswers: probed.some(
      ({ address, answers }) => answers && options.addresses.includes(address),
    ),
    proxyMode: mode,
    routeLocalnet,
    readsHostFiles: kubeletRuntime !== undefined && readsHostFiles(kubeletRuntime),
    isLocalhost: isLocalhost(registry),
  })
  const exposureAdvice =
    exposure === undefined ? reason : `set exposure.mode: ${exposure}; ${reason}`
  const pull = async ({ endpoints, file }: RegistryEndpoints, runtime: string) => {
    const result = await tryToPull({ rooted, endpoints, lookup })
    return { result, finding: pullFinding({ runtime, registry, result, file, exposureAdvice }) }
  }

  if (kubeletRuntime === undefined) {
    const message = "no container runtime found; --root must be the root of the node's file system"
    yield { ...ok('runtime', message), outcome: 'skipped' }
    yield* listOf(denial())
    const unconfigured = { endpoints: [defaultEndpoint(registry, [])], file: undefined }
    const { result, finding } = await pull(unconfigured, 'a runtime without configuration')
    yield finding
    return verdictOf(result, exposure)
  }

  let verdict: NodeVerdict = { ok: false, exposure }
  for (const runtime of runtimes) {
    const configured = await endpointsOf(rooted, runtime, registry)
    yield runtimeFinding(runtime, configured)
    for (const slow of await findSlowHosts(rooted, runtime, options.addresses))
      yield slowHostFinding(slow)
    if (runtime.kind === 'docker') yield* checkDockerMirrors({ rooted, lookup })
    const { result, finding } = await pull(configured, runtime.name)
    if (runtime === kubeletRuntime) verdict = verdictOf(result, exposure)
    // A problem of another runtime is reported, but pods do not depend on it.
    yield runtime === kubeletRuntime || result.url !== undefined
      ? finding
      : { ...finding, outcome: 'skipped', advice: undefined }
  }
  yield* listOf(denial())
  return verdict
}

function listOf(finding: Finding | undefined): readonly Finding[] {
  return finding === undefined ? [] : [finding]
}

function runtimeFinding(runtime: Runtime, { file }: RegistryEndpoints): Finding {
  const source =
    file === undefined ? 'no file configures this registry' : `${file} configures this registry`
  if (runtime.kind !== 'containerd') return ok('runtime', `${runtime.name}; ${source}`)
  const { name, version, path, problem } = runtime
  const versioned = `${name} ${version ?? 'of unknown version'}`
  const configPath = path === undefined ? 'config_path is not set' : `config_path is ${path}`
  if (problem === undefined) return ok('runtime', `${versioned}; ${configPath}; ${source}`)
  return { ...ok('runtime', `${versioned}; ${problem}`), outcome: 'failed' }
}

function slowHostFinding({ file, url, recommended: wanted }: SlowHost): Finding {
  const message = `${file} has no dial_timeout for ${url}: while nothing answers there, each request waits 30 s before containerd tries the next host`
  const advice = `run berth trust on this node, or add dial_timeout = "${wanted}" to [host."${url}"] (containerd 2.1 or newer)`
  return { step: 'runtime', outcome: 'skipped', message, advice, requests: [] }
}

type PullFindingOptions = {
  readonly runtime: string
  readonly registry: RegistryHost
  readonly result: PullResult
  /** The file that configures the runtime for this registry. */
  readonly file: string | undefined
  /** For a pull that fails because no address answers. */
  readonly exposureAdvice: string
}

function pullFinding(options: PullFindingOptions): Finding {
  const { runtime, registry, file, result, exposureAdvice } = options
  const { url, answers, kind } = result
  const images = `images named ${registry}/…`
  if (url !== undefined)
    return { ...ok('pull', `${runtime} can pull ${images} from ${url}`), requests: answers }
  return {
    step: 'pull',
    outcome: 'failed',
    message: `${runtime} cannot pull ${images}`,
    advice: isUnanswered(kind) ? exposureAdvice : adviceFor(kind, file),
    requests: answers,
  }
}

function isUnanswered(kind: ProbeAnswer['kind']): boolean {
  return kind === 'refused' || kind === 'timeout'
}

function adviceFor(kind: ProbeAnswer['kind'], file: string | undefined): string {
  const alternative = file === undefined ? '' : `, or change ${file}`
  if (kind === 'untrusted')
    return `the runtime does not trust the certificate: run berth trust --ca FILE on this node${alternative}`
  if (kind === 'not-registry')
    return `another program listens on this port: choose another port${alternative}`
  return `the runtime and the registry do not agree on TLS or plain HTTP: run berth trust on this node${alternative}`
}

function verdictOf({ url, kind }: PullResult, exposure: Exposure | undefined): NodeVerdict {
  const isOk = url !== undefined
  return { ok: isOk, exposure: !isOk && isUnanswered(kind) ? exposure : undefined }
}

/** Kubelets use containerd or CRI-O; other runtimes on the node have other users. */
function findKubeletRuntime(runtimes: readonly Runtime[]): Runtime | undefined {
  const isCri = ({ kind, name }: Runtime) => kind === 'containerd' || name === 'cri-o'
  return runtimes.find(isCri) ?? runtimes[0]
}

function readsHostFiles(runtime: Runtime): boolean {
  if (runtime.kind === 'containerd') return runtime.path !== undefined
  return runtime.kind === 'containers'
}

function isInUse(runtime: Runtime): boolean {
  return runtime.kind !== 'containerd' || !runtime.config.isCriDisabled
}

async function readRouteLocalnet(rooted: Rooted): Promise<boolean> {
  const directory = '/proc/sys/net/ipv4/conf'
  const interfaces = await rooted.list(directory)
  const values = await Promise.all(
    interfaces.map((name) => rooted.text(`${directory}/${name}/route_localnet`)),
  )
  return values.some((value) => value?.trim() === '1')
}

function ok(step: Step, message: string): Finding {
  return { step, outcome: 'ok', message, requests: [] }
}
