import { dirname } from 'node:path'
import type { Telemetry } from '../telemetry/telemetry.ts'
import type { RegistryHost, Server } from './addresses.ts'
import { followAuthority } from './authority.ts'
import { askVersion } from './containerd-version.ts'
import {
  beforeEnding,
  inherit,
  inspect,
  type Outcome,
  placeFile,
  removeDirectories,
  removeTemporary,
  undoFile,
} from './node-files.ts'
import { everywhere, findOurs, writtenTo } from './places.ts'
import { type Plan, planFor, type Wish } from './plan.ts'
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
export { type Asked, type Endpoint, endpointsOf, usualEndpoint } from './endpoints.ts'
export { readNodeAddresses } from './node-addresses.ts'
export { createRooted, errnoOf, type Rooted } from './rooted.ts'
export { findRuntimes, type Runtime } from './runtimes.ts'

/** What is known of one runtime. */
type RuntimeStatus = {
  readonly runtime: Runtime['name']
  readonly version: string | undefined
  /** Its own configuration, and the `config_path` that is in force, where it has them. */
  readonly configuration: string | undefined
  readonly path: string | undefined
  /** Whether images can be pulled by it. */
  readonly served: boolean
  readonly files: readonly { readonly path: string; readonly since: string }[]
  readonly trouble: readonly string[]
  readonly notes: readonly string[]
}

export type TrustStatus = {
  /** Whether at least one runtime of the node is served. */
  readonly ready: boolean
  /** What is wrong with all of them: no runtime, no authority. */
  readonly trouble: readonly string[]
  readonly runtimes: readonly RuntimeStatus[]
  /** When the authority's certificate expires. */
  readonly authorityExpires: string | undefined
}

/** Makes the runtimes of a node trust and find the registry, by files which they read at each pull. */
export interface Trust {
  /** Makes the files what they have to be. Rejects only for faults of ours. */
  apply(): Promise<TrustStatus>
  /** Of the last `apply`. */
  status(): TrustStatus
  /** Puts everything back as it was. What could not be, because it is somebody else's now. */
  undo(): Promise<readonly string[]>
  /** Applies again and again, until it is closed: whatever changes on the node is followed. */
  follow(every: number): void
  close(): Promise<void>
}

export type TrustOptions = {
  /** Where the node's file system is. */
  readonly root: string
  readonly registries: readonly { readonly registry: RegistryHost; readonly server: Server }[]
  readonly mirrors: readonly RegistryHost[]
  /** PEM file, which is read again each time. */
  readonly authority: string | undefined
  /** The node's own, beside localhost. */
  readonly nodeAddresses: readonly string[]
  /** Whose files are ours; undefined: `undo` takes away everybody's. */
  readonly owner: string | undefined
  readonly telemetry: Telemetry
}

/** Of files that nobody with a name wrote. */
const nobody = '-'
/** Milliseconds for which a runtime's version is believed. */
const versionLife = 60_000

export function createTrust(options: TrustOptions): Trust {
  const { registries, mirrors, nodeAddresses, owner, telemetry } = options
  const { log, metrics } = telemetry
  const rooted = createRooted(options.root)
  const authority = options.authority === undefined ? undefined : followAuthority(options.authority)
  /** Files that are ours, by where they are, and how many directories go with each. */
  const ours = new Map<string, number>()
  /** What was told of each runtime and file, so that it is told once. */
  const told = new Map<string, string>()
  let status: TrustStatus = {
    ready: false,
    trouble: ['not tried yet'],
    runtimes: [],
    authorityExpires: undefined,
  }
  const versions = new Map<string, { readonly version: string; readonly asked: number }>()
  let running: Promise<unknown> = Promise.resolve()
  let timer: NodeJS.Timeout | undefined

  /** One at a time. */
  const inTurn = <Result>(work: () => Promise<Result>): Promise<Result> => {
    const result = running.then(work)
    running = result.catch(() => {})
    return result
  }

  /** A socket that is mounted alone leads nowhere once its containerd has started again. */
  const versionOf = async (socket: string): Promise<string | undefined> => {
    const known = versions.get(socket)
    if (known !== undefined && performance.now() - known.asked < versionLife) return known.version
    const version = await askVersion(socket)
    if (version === undefined) return known?.version
    versions.set(socket, { version, asked: performance.now() })
    return version
  }

  const tell = (what: string, message: string | undefined) => {
    if (told.get(what) === message) return
    if (message === undefined) {
      told.delete(what)
      log.info({ what }, 'trouble is over')
      return
    }
    told.set(what, message)
    log.warn({ what, trouble: message }, 'trouble')
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
    tell('authority', authority?.trouble())
    const runtimes = await findRuntimes(rooted, versionOf)
    const wish: Wish = { registries, mirrors, authority: signer?.pem, nodeAddresses }
    const statuses: RuntimeStatus[] = []
    const planned = new Set<string>()
    for (const runtime of runtimes) {
      const plan = missing ? withoutAuthority : await planSafely(runtime, wish)
      statuses.push(await applyTo(runtime, plan, planned))
    }
    const settled = runtimes.filter((_, at) => isSettled(statuses[at]))
    await removeOthers(settled, planned)
    const trouble = [
      ...(authority?.trouble() === undefined ? [] : [authority.trouble() ?? '']),
      ...(runtimes.length === 0 ? [`no container runtime is found below ${options.root}`] : []),
    ]
    const ready = statuses.some(({ served }) => served)
    status = { ready, trouble, runtimes: statuses, authorityExpires: isoOf(signer?.expires) }
    measure(status, signer?.expires)
    if (runtimes.length === 0) tell('node', trouble.at(-1))
    return status
  }

  const planSafely = (runtime: Runtime, wish: Wish): Promise<Plan> =>
    planFor(rooted, runtime, wish).catch((error: unknown) => ({
      ...withoutAuthority,
      trouble: [error instanceof Error ? error.message : String(error)],
    }))

  /** Adds to `planned` where the files are. */
  const applyTo = async (
    runtime: Runtime,
    plan: Plan,
    planned: Set<string>,
  ): Promise<RuntimeStatus> => {
    const { name } = runtime
    const files: { path: string; since: string }[] = []
    const trouble = [...plan.trouble]
    for (const { path, body } of plan.files) {
      try {
        const located = await rooted.locate(path)
        planned.add(located)
        await removeTemporary(dirname(located))
        const outcome = await placeFile({
          path: located,
          body: body(await priorOf(located)),
          owner: owner ?? nobody,
          madeBefore: ours.get(located),
        })
        changed(name, path, outcome)
        if (outcome.kind === 'left') {
          trouble.push(`${path}: ${outcome.reason}`)
          continue
        }
        ours.set(located, outcome.made)
        files.push({ path, since: await sinceOf(located) })
      } catch (error) {
        const why = error instanceof Error ? error.message : String(error)
        trouble.push(`${path}: ${why}`)
      }
    }
    tell(name, trouble.length === 0 ? undefined : trouble.join('\n'))
    const isContainerd = runtime.kind === 'containerd'
    return {
      runtime: name,
      version: isContainerd ? runtime.version : undefined,
      configuration: isContainerd ? runtime.config.file : undefined,
      path: isContainerd ? runtime.path : undefined,
      served: plan.serves && files.length === plan.files.length,
      files,
      trouble,
      notes: plan.notes,
    }
  }

  /** Ours from before, which are no longer wanted: another registry, a mirror less. */
  const removeOthers = async (runtimes: readonly Runtime[], planned: ReadonlySet<string>) => {
    const places = await findOurs(rooted, runtimes.flatMap(writtenTo))
    const gone: string[] = []
    for (const path of places.filter((place) => !planned.has(place))) {
      const { outcome, directories: made } = await undoFile(path, owner ?? nobody)
      if (outcome.kind === 'left') tell(path, outcome.reason)
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
    for (const path of await findOurs(rooted, everywhere(runtimes))) {
      const name = rooted.name(path)
      try {
        await removeTemporary(dirname(path))
        const { outcome, directories: made } = await undoFile(path, owner)
        if (outcome.kind === 'left') remaining.push(`${name}: ${outcome.reason}`)
        changed('node', name, outcome)
        gone.push(...made)
        ours.delete(path)
      } catch (error) {
        remaining.push(`${name}: ${error instanceof Error ? error.message : String(error)}`)
      }
    }
    await removeDirectories(gone)
    status = { ready: false, trouble: ['undone'], runtimes: [], authorityExpires: undefined }
    return remaining
  }

  const measure = (now: TrustStatus, expires: number | undefined) => {
    metrics.trustServed.reset()
    metrics.trustFiles.reset()
    metrics.trustTroubles.reset()
    for (const { runtime, served, files, trouble } of now.runtimes) {
      metrics.trustServed.set({ runtime }, served ? 1 : 0)
      metrics.trustFiles.set({ runtime }, files.length)
      metrics.trustTroubles.set({ runtime }, trouble.length)
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
          status = { ...status, ready: false, trouble: [message] }
          tell('node', message)
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
  serves: false,
  trouble: ['the certificate authority is not known'],
  notes: [],
}

/** What was in our place, or is, before we are. */
async function priorOf(located: string): Promise<string> {
  const before = await readText(located + beforeEnding)
  if (before !== undefined) return before
  const found = await inspect(located)
  return found.kind === 'foreign' ? ((await readText(located)) ?? '') : ''
}

/** What is not understood may be only half-written: nothing is taken away because of it. */
function isSettled(status: RuntimeStatus | undefined): boolean {
  return status !== undefined && status.files.length > 0 && status.trouble.length === 0
}

async function sinceOf(located: string): Promise<string> {
  const stats = await lstatIfAny(located)
  return new Date(Number(stats?.mtimeMs ?? 0)).toISOString()
}

function isoOf(time: number | undefined): string | undefined {
  return time === undefined ? undefined : new Date(time).toISOString()
}
