import { dirname } from 'node:path'
import type { Telemetry } from '../telemetry/telemetry.ts'
import type { RegistryHost, Server } from './addresses.ts'
import { followAuthority } from './authority.ts'
import { readVersion } from './containerd-version.ts'
import {
  inherit,
  inspect,
  type Outcome,
  originalSuffix,
  placeFile,
  removeDirectories,
  removeTemporary,
  undoFile,
} from './node-files.ts'
import { allPlaces, findWritten, placesOf } from './places.ts'
import { type Plan, planFor, type TrustRequest } from './plan.ts'
import { createRooted, lstatIfAny, readText } from './rooted.ts'
import { findRuntimes, type Runtime } from './runtimes.ts'

export {
  isLocalhost,
  parseRegistryHost,
  parseServer,
  type RegistryHost,
  type Server,
} from './addresses.ts'
export { findSlowHosts, type SlowHost } from './dial-timeout.ts'
export { defaultEndpoint, type Endpoint, endpointsOf, type RegistryEndpoints } from './endpoints.ts'
export { readNodeAddresses } from './node-addresses.ts'
export { createRooted, errnoOf, type Rooted } from './rooted.ts'
export { findRuntimes, type Runtime } from './runtimes.ts'

/** The state of one runtime. */
type RuntimeStatus = {
  readonly runtime: Runtime['name']
  readonly version: string | undefined
  /** Its configuration file and effective `config_path`, where it has them. */
  readonly configuration: string | undefined
  readonly path: string | undefined
  /** Whether it can pull images through Berth. */
  readonly canPull: boolean
  readonly files: readonly { readonly path: string; readonly since: string }[]
  readonly problems: readonly string[]
  readonly notes: readonly string[]
}

export type TrustStatus = {
  /** Whether at least one runtime of the node can pull. */
  readonly ready: boolean
  /** Problems that concern all runtimes: no runtime found, no authority. */
  readonly problems: readonly string[]
  readonly runtimes: readonly RuntimeStatus[]
  /** When the authority's certificate expires. */
  readonly authorityExpires: string | undefined
}

/** Configures the runtimes of a node to find and trust the registry, by files that they read at each pull. */
export interface Trust {
  /** Writes and removes files as needed. Rejects only for errors in Berth itself. */
  apply(): Promise<TrustStatus>
  /** The result of the last `apply`. */
  status(): TrustStatus
  /** Restores everything. Returns what could not be restored because it was changed by others. */
  undo(): Promise<readonly string[]>
  /** Applies at an interval, in milliseconds, until `close`, to follow changes on the node. */
  follow(every: number): void
  close(): Promise<void>
}

export type TrustOptions = {
  /** Where the node's file system is mounted. */
  readonly root: string
  readonly registries: readonly { readonly registry: RegistryHost; readonly server: Server }[]
  readonly mirrors: readonly RegistryHost[]
  /** PEM file; read at each `apply`. */
  readonly authority: string | undefined
  /** Addresses of the node besides localhost. */
  readonly nodeAddresses: readonly string[]
  /** The owner of the files; undefined: `undo` removes the files of all owners. */
  readonly owner: string | undefined
  readonly telemetry: Telemetry
}

/** The owner of files that were written without an owner's name. */
const noOwner = '-'
/** How long a runtime's version is cached, in milliseconds. */
const versionLife = 60_000

export function createTrust(options: TrustOptions): Trust {
  const { registries, mirrors, nodeAddresses, owner, telemetry } = options
  const { log, metrics } = telemetry
  const rooted = createRooted(options.root)
  const authority = options.authority === undefined ? undefined : followAuthority(options.authority)
  /** Files that this process wrote, with the number of directories created for each. */
  const written = new Map<string, number>()
  /** The last problem logged for each runtime and file, so that it is logged once. */
  const loggedProblems = new Map<string, string>()
  let status: TrustStatus = {
    ready: false,
    problems: ['not applied yet'],
    runtimes: [],
    authorityExpires: undefined,
  }
  const versions = new Map<string, { readonly version: string; readonly asked: number }>()
  let running: Promise<unknown> = Promise.resolve()
  let timer: NodeJS.Timeout | undefined

  /** Runs one operation at a time. */
  const inTurn = <Result>(work: () => Promise<Result>): Promise<Result> => {
    const result = running.then(work)
    running = result.catch(() => {})
    return result
  }

  /** A socket that is mounted by itself is stale once its containerd has restarted. */
  const versionOf = async (socket: string): Promise<string | undefined> => {
    const known = versions.get(socket)
    if (known !== undefined && performance.now() - known.asked < versionLife) return known.version
    const version = await readVersion(socket)
    if (version === undefined) return known?.version
    versions.set(socket, { version, asked: performance.now() })
    return version
  }

  const logProblem = (what: string, message: string | undefined) => {
    if (loggedProblems.get(what) === message) return
    if (message === undefined) {
      loggedProblems.delete(what)
      log.info({ what }, 'problem resolved')
      return
    }
    loggedProblems.set(what, message)
    log.warn({ what, problem: message }, 'problem')
  }

  const changed = (runtime: string, path: string, outcome: Outcome) => {
    if (outcome.kind === 'unchanged') return
    if (outcome.kind === 'left') return
    metrics.trustChanges.inc({ runtime, change: outcome.kind })
    log.info({ runtime, path, change: outcome.kind }, 'file changed')
  }

  const apply = async (): Promise<TrustStatus> => {
    const signer = await authority?.current()
    const missing = authority !== undefined && signer === undefined
    logProblem('authority', authority?.problem())
    const runtimes = await findRuntimes(rooted, versionOf)
    const request: TrustRequest = { registries, mirrors, authority: signer?.pem, nodeAddresses }
    const statuses: RuntimeStatus[] = []
    const planned = new Set<string>()
    for (const runtime of runtimes) {
      const plan = missing ? withoutAuthority : await planSafely(runtime, request)
      statuses.push(await applyTo(runtime, plan, planned))
    }
    const settled = runtimes.filter((_, at) => isSettled(statuses[at]))
    await removeOthers(settled, planned)
    const problems = [
      ...(authority?.problem() === undefined ? [] : [authority.problem() ?? '']),
      ...(runtimes.length === 0 ? [`no container runtime was found below ${options.root}`] : []),
    ]
    const ready = statuses.some(({ canPull }) => canPull)
    status = { ready, problems, runtimes: statuses, authorityExpires: isoOf(signer?.expires) }
    measure(status, signer?.expires)
    if (runtimes.length === 0) logProblem('node', problems.at(-1))
    return status
  }

  const planSafely = (runtime: Runtime, request: TrustRequest): Promise<Plan> =>
    planFor(rooted, runtime, request).catch((error: unknown) => ({
      ...withoutAuthority,
      problems: [error instanceof Error ? error.message : String(error)],
    }))

  /** Adds the paths of the files to `planned`. */
  const applyTo = async (
    runtime: Runtime,
    plan: Plan,
    planned: Set<string>,
  ): Promise<RuntimeStatus> => {
    const { name } = runtime
    const files: { path: string; since: string }[] = []
    const problems = [...plan.problems]
    for (const { path, body } of plan.files) {
      try {
        const located = await rooted.locate(path)
        planned.add(located)
        await removeTemporary(dirname(located))
        const outcome = await placeFile({
          path: located,
          body: body(await priorOf(located)),
          owner: owner ?? noOwner,
          madeBefore: written.get(located),
        })
        changed(name, path, outcome)
        if (outcome.kind === 'left') {
          problems.push(`${path}: ${outcome.reason}`)
          continue
        }
        written.set(located, outcome.made)
        files.push({ path, since: await sinceOf(located) })
      } catch (error) {
        const why = error instanceof Error ? error.message : String(error)
        problems.push(`${path}: ${why}`)
      }
    }
    logProblem(name, problems.length === 0 ? undefined : problems.join('\n'))
    const isContainerd = runtime.kind === 'containerd'
    return {
      runtime: name,
      version: isContainerd ? runtime.version : undefined,
      configuration: isContainerd ? runtime.config.file : undefined,
      path: isContainerd ? runtime.path : undefined,
      canPull: plan.canPull && files.length === plan.files.length,
      files,
      problems,
      notes: plan.notes,
    }
  }

  /** Removes files that are no longer needed: of another registry, or of a removed mirror. */
  const removeOthers = async (runtimes: readonly Runtime[], planned: ReadonlySet<string>) => {
    const places = await findWritten(rooted, runtimes.flatMap(placesOf))
    const gone: string[] = []
    for (const path of places.filter((place) => !planned.has(place))) {
      const { outcome, directories: made } = await undoFile(path, owner ?? noOwner)
      if (outcome.kind === 'left') logProblem(path, outcome.reason)
      changed('node', rooted.name(path), outcome)
      gone.push(...made)
    }
    const used = await removeDirectories(gone)
    if (used.length > 0) for (const path of planned) await inherit(path, used)
  }

  const undo = async (): Promise<readonly string[]> => {
    const runtimes = await findRuntimes(rooted)
    const gone: string[] = []
    const remaining: string[] = []
    for (const path of await findWritten(rooted, allPlaces(runtimes))) {
      const name = rooted.name(path)
      try {
        await removeTemporary(dirname(path))
        const { outcome, directories: made } = await undoFile(path, owner)
        if (outcome.kind === 'left') remaining.push(`${name}: ${outcome.reason}`)
        changed('node', name, outcome)
        gone.push(...made)
        written.delete(path)
      } catch (error) {
        remaining.push(`${name}: ${error instanceof Error ? error.message : String(error)}`)
      }
    }
    await removeDirectories(gone)
    status = { ready: false, problems: ['undone'], runtimes: [], authorityExpires: undefined }
    return remaining
  }

  const measure = (now: TrustStatus, expires: number | undefined) => {
    metrics.trustRuntimes.reset()
    metrics.trustFiles.reset()
    metrics.trustProblems.reset()
    for (const { runtime, canPull, files, problems } of now.runtimes) {
      metrics.trustRuntimes.set({ runtime }, canPull ? 1 : 0)
      metrics.trustFiles.set({ runtime }, files.length)
      metrics.trustProblems.set({ runtime }, problems.length)
    }
    if (expires !== undefined)
      for (const { registry } of registries)
        metrics.trustAuthorityExpiry.set({ registry }, expires / 1000)
  }

  return {
    apply: () => inTurn(apply),
    status: () => status,
    undo: () => inTurn(undo),
    follow: (every) => {
      const again = async () => {
        await inTurn(apply).catch((err: unknown) => {
          const message = err instanceof Error ? err.message : String(err)
          status = { ...status, ready: false, problems: [message] }
          logProblem('node', message)
        })
        if (timer !== undefined) timer = setTimeout(again, every)
      }
      timer = setTimeout(again, 0)
    },
    close: async () => {
      clearTimeout(timer)
      timer = undefined
      await running
    },
  }
}

const withoutAuthority: Plan = {
  files: [],
  canPull: false,
  problems: ['the certificate authority cannot be read'],
  notes: [],
}

/** The content that was there before Berth's file, or is there now. */
async function priorOf(located: string): Promise<string> {
  const before = await readText(located + originalSuffix)
  if (before !== undefined) return before
  const found = await inspect(located)
  return found.kind === 'foreign' ? ((await readText(located)) ?? '') : ''
}

/** A configuration that cannot be parsed may be half-written, so nothing is removed because of it. */
function isSettled(status: RuntimeStatus | undefined): boolean {
  return status !== undefined && status.files.length > 0 && status.problems.length === 0
}

async function sinceOf(located: string): Promise<string> {
  const stats = await lstatIfAny(located)
  return new Date(Number(stats?.mtimeMs ?? 0)).toISOString()
}

function isoOf(time: number | undefined): string | undefined {
  return time === undefined ? undefined : new Date(time).toISOString()
}
