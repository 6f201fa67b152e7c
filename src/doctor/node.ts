import { isIP } from 'node:net'
import { rootCertificates } from 'node:tls'
import {
  type Asked,
  type Endpoint,
  endpointsOf,
  findRuntimes,
  findSlowHosts,
  isLocalhost,
  type RegistryHost,
  type Rooted,
  type Runtime,
  type SlowHost,
  usualEndpoint,
} from '../trust/trust.ts'
import { examineDockerMirrors } from './docker-mirrors.ts'
import { type Exposure, recommend } from './exposure.ts'
import type { Finding, Step } from './finding.ts'
import { type Names, readNames } from './host-lookup.ts'
import { type Answer, ask, askEither, describeAnswer } from './probe.ts'
import { findProxyMode } from './proxy-mode.ts'
import { createReadable } from './readable.ts'

export type NodeOptions = {
  readonly rooted: Rooted
  readonly registry: RegistryHost
  /** Of the node. */
  readonly addresses: readonly string[]
}

/** What `examineNode` comes to. */
export type NodeVerdict = {
  /** Whether the runtime that pods are run by can pull. */
  readonly ok: boolean
  /** What to set in the chart; undefined when nothing has to change. */
  readonly exposure: Exposure | undefined
}

/**
 * Looks at a node from itself, and then asks what each of its runtimes would ask. An address that does
 * not answer is no failure by itself: only what a runtime depends on is. Never throws.
 */
export async function* examineNode(options: NodeOptions): AsyncGenerator<Finding, NodeVerdict> {
  const { registry } = options
  const { rooted, finding: denial } = createReadable(options.rooted)
  const port = portOf(registry)
  const names = await readNames(rooted)
  const localhost = await names('localhost')
  yield told('localhost', `localhost is ${localhost.join(', ')}`)

  const reached: { readonly address: string; readonly isThere: boolean }[] = []
  for (const address of new Set(['127.0.0.1', '::1', ...options.addresses])) {
    const { scheme, answer } = await askEither({ address, port, host: registry })
    const isThere = answer.kind === 'registry'
    reached.push({ address, isThere })
    const message = `${scheme}://${bracket(address)}:${port}: ${describeAnswer(answer)}`
    yield { ...told('address', message), outcome: isThere ? 'ok' : 'skipped' }
  }

  const { mode, source } = await findProxyMode(rooted)
  const routeLocalnet = await readRouteLocalnet(rooted)
  const routing = routeLocalnet ? 'on' : 'off'
  yield told('services', `${mode}: ${source}; route_localnet is ${routing}`)

  const runtimes = (await findRuntimes(rooted)).filter(isInUse)
  const deciding = decidingOf(runtimes)
  const { exposure, why } = recommend({
    loopback: reached.some(({ address, isThere }) => isThere && localhost.includes(address)),
    node: reached.some(({ address, isThere }) => isThere && options.addresses.includes(address)),
    proxyMode: mode,
    routeLocalnet,
    canBeLed: deciding !== undefined && canBeLed(deciding),
    isLocalhost: isLocalhost(registry),
  })
  const advice = exposure === undefined ? why : `exposure.mode: ${exposure}; ${why}`
  const look = async (asked: Asked, what: string) => {
    const pulled = await tryToPull({ rooted, asked, names })
    return { pulled, finding: pullFinding({ what, registry, pulled, asked, advice }) }
  }

  if (deciding === undefined) {
    const missing = 'none is seen; is the root of the node at --root?'
    yield { ...told('runtime', missing), outcome: 'skipped' }
    yield* orNone(denial())
    const asked = { endpoints: [usualEndpoint(registry, [])], file: undefined }
    const { pulled, finding } = await look(asked, 'a runtime without files of its own')
    yield finding
    return verdictOf(pulled, exposure)
  }

  let verdict: NodeVerdict = { ok: false, exposure }
  for (const runtime of runtimes) {
    const asked = await endpointsOf(rooted, runtime, registry)
    yield runtimeFinding(runtime, asked)
    for (const slow of await findSlowHosts(rooted, runtime, options.addresses))
      yield slowHostFinding(slow)
    if (runtime.kind === 'docker') yield* examineDockerMirrors({ rooted, names })
    const { pulled, finding } = await look(asked, runtime.name)
    if (runtime === deciding) verdict = verdictOf(pulled, exposure)
    // Another runtime's trouble is worth knowing, and no reason to fail.
    yield runtime === deciding || pulled.where !== undefined
      ? finding
      : { ...finding, outcome: 'skipped', advice: undefined }
  }
  yield* orNone(denial())
  return verdict
}

function orNone(finding: Finding | undefined): readonly Finding[] {
  return finding === undefined ? [] : [finding]
}

/** What a runtime gets when it asks. */
type Pulled = {
  /** Undefined when nobody answers who could be pulled from. */
  readonly where: string | undefined
  readonly answers: readonly string[]
  readonly kind: Answer['kind']
}

type Attempt = {
  readonly rooted: Rooted
  readonly asked: Asked
  readonly names: Names
}

/**
 * Endpoint by endpoint, as a runtime does it. Within one, the first address that takes the connection
 * decides, whoever listens there.
 */
async function tryToPull({ rooted, asked, names }: Attempt): Promise<Pulled> {
  const answers: string[] = []
  let kind: Answer['kind'] = 'refused'
  for (const endpoint of asked.endpoints) {
    for (const address of await names(endpoint.host)) {
      const { where, answer } = await askAddress(rooted, endpoint, address)
      answers.push(`${where}: ${describeAnswer(answer)}`)
      kind = answer.kind
      if (kind === 'registry') return { where, answers, kind }
      if (kind !== 'refused' && kind !== 'silent') break
    }
  }
  return { where: undefined, answers, kind }
}

async function askAddress(
  rooted: Rooted,
  endpoint: Endpoint,
  address: string,
): Promise<{ readonly where: string; readonly answer: Answer }> {
  const [first, second] = schemesOf(endpoint)
  const at = (scheme: 'http' | 'https') =>
    `${scheme}://${bracket(address)}:${portOf(endpoint.host, scheme)}`
  const answer = await askEndpoint(rooted, endpoint, address, first)
  const isOver = second === undefined || ['registry', 'refused', 'silent'].includes(answer.kind)
  return isOver
    ? { where: at(first), answer }
    : { where: at(second), answer: await askEndpoint(rooted, endpoint, address, second) }
}

async function askEndpoint(
  rooted: Rooted,
  { host, verified, authorities }: Endpoint,
  address: string,
  scheme: 'http' | 'https',
): Promise<Answer> {
  const port = portOf(host, scheme)
  if (scheme === 'http' || !verified) return ask({ address, port, scheme, host })
  return ask({
    address,
    port,
    scheme,
    host,
    authorities: [...(await believedBy(rooted)), ...authorities],
  })
}

/** Whom the node believes anyway; where its list is not seen, whom we do. */
async function believedBy(rooted: Rooted): Promise<readonly string[]> {
  for (const path of ['/etc/ssl/certs/ca-certificates.crt', '/etc/pki/tls/certs/ca-bundle.crt']) {
    const text = await rooted.text(path)
    if (text !== undefined) return [text]
  }
  return rootCertificates
}

type Schemes = readonly [first: 'http' | 'https', second?: 'http']

function schemesOf({ scheme }: Endpoint): Schemes {
  return scheme === 'either' ? ['https', 'http'] : [scheme]
}

function runtimeFinding(runtime: Runtime, { file }: Asked): Finding {
  const said =
    file === undefined ? 'no file of its own for this registry' : `this registry by ${file}`
  if (runtime.kind !== 'containerd') return told('runtime', `${runtime.name}; ${said}`)
  const { name, version, path, trouble } = runtime
  const which = `${name} ${version ?? 'of unknown version'}`
  const looks = path === undefined ? 'config_path is not set' : `config_path is ${path}`
  if (trouble === undefined) return told('runtime', `${which}; ${looks}; ${said}`)
  return { ...told('runtime', `${which}; ${trouble}`), outcome: 'failed' }
}

function slowHostFinding({ file, url, wanted }: SlowHost): Finding {
  const message = `${file} has no dial_timeout for ${url}: while nothing answers there, each request waits 30 s before containerd asks the next host`
  const advice = `run berth trust on this node, or add dial_timeout = "${wanted}" below [host."${url}"]; containerd reads it from 2.1 on`
  return { step: 'runtime', outcome: 'skipped', message, advice, requests: [] }
}

type Judged = {
  readonly what: string
  readonly registry: RegistryHost
  readonly asked: Asked
  readonly pulled: Pulled
  /** If it is a matter of exposure. */
  readonly advice: string
}

function pullFinding({ what, registry, asked, pulled, advice }: Judged): Finding {
  const { where, answers, kind } = pulled
  const images = `images named ${registry}/…`
  if (where !== undefined)
    return { ...told('pull', `${what} can pull ${images}, from ${where}`), requests: answers }
  const message = `${what} cannot pull ${images}`
  return {
    step: 'pull',
    outcome: 'failed',
    message,
    advice: isExposure(kind) ? advice : adviceOn(kind, asked),
    requests: answers,
  }
}

function isExposure(kind: Answer['kind']): boolean {
  return kind === 'refused' || kind === 'silent'
}

function adviceOn(kind: Answer['kind'], { file }: Asked): string {
  const said = file === undefined ? '' : `, or change ${file}`
  if (kind === 'untrusted') return `run berth trust on this node, with --ca${said}`
  if (kind === 'stranger') return `another program has the port: choose another one${said}`
  return `TLS and plain HTTP do not fit together here: run berth trust on this node${said}`
}

function verdictOf({ where, kind }: Pulled, exposure: Exposure | undefined): NodeVerdict {
  const ok = where !== undefined
  return { ok, exposure: !ok && isExposure(kind) ? exposure : undefined }
}

/** kubelets run pods by containerd or CRI-O; the others may be there for other reasons. */
function decidingOf(runtimes: readonly Runtime[]): Runtime | undefined {
  const isKubelets = ({ kind, name }: Runtime) => kind === 'containerd' || name === 'cri-o'
  return runtimes.find(isKubelets) ?? runtimes[0]
}

function canBeLed(runtime: Runtime): boolean {
  if (runtime.kind === 'containerd') return runtime.path !== undefined
  return runtime.kind === 'containers'
}

function isInUse(runtime: Runtime): boolean {
  return runtime.kind !== 'containerd' || !runtime.config.isCriDisabled
}

async function readRouteLocalnet(rooted: Rooted): Promise<boolean> {
  const directory = '/proc/sys/net/ipv4/conf'
  const all = await rooted.list(directory)
  const texts = await Promise.all(
    all.map((name) => rooted.text(`${directory}/${name}/route_localnet`)),
  )
  return texts.some((text) => text?.trim() === '1')
}

function portOf(host: string, scheme: 'http' | 'https' = 'https'): number {
  const port = /:(\d+)$/.exec(host.replace(/^\[[^\]]*\]/, ''))?.[1]
  return port === undefined ? (scheme === 'https' ? 443 : 80) : Number(port)
}

function bracket(address: string): string {
  return isIP(address) === 6 ? `[${address}]` : address
}

function told(step: Step, message: string): Finding {
  return { step, outcome: 'ok', message, requests: [] }
}
