import { followAuthority } from './authority.ts'
import { type Plan, planFor, type TrustRequest } from './plan.ts'
import { createNoteLog, createProblemLog } from './problem-log.ts'
import { createRooted } from './rooted.ts'
import { createRuntimeFiles } from './runtime-files.ts'
import { findRuntimes, type Kubelet, type Target } from './runtimes.ts'
import type { RuntimeStatus, Trust, TrustOptions, TrustStatus } from './trust-status.ts'
import { createVersionCache } from './version-cache.ts'

const defaultUndo = { keepCredentialProvider: false }

export function createTrust(options: TrustOptions): Trust {
  const { registries, mirrors, nodeAddresses, owner, credentialProvider, telemetry } = options
  const kubelet: readonly Kubelet[] =
    credentialProvider === undefined
      ? []
      : [{ kind: 'kubelet', name: 'kubelet', directory: credentialProvider.directory }]
  const rooted = createRooted(options.root)
  const authority = options.authority === undefined ? undefined : followAuthority(options.authority)
  const logProblem = createProblemLog(telemetry)
  const logNote = createNoteLog(telemetry)
  const files = createRuntimeFiles({ rooted, owner, logProblem, telemetry })
  const versionOf = createVersionCache()
  let status: TrustStatus = {
    ready: false,
    problems: ['not applied yet'],
    runtimes: [],
    authorityExpires: undefined,
  }
  let running: Promise<unknown> = Promise.resolve()
  let timer: NodeJS.Timeout | undefined

  /** Runs one operation at a time. */
  const inTurn = <Result>(work: () => Promise<Result>): Promise<Result> => {
    const result = running.then(work)
    running = result.catch(() => {})
    return result
  }

  /** The kubelet has its files whatever else is there. */
  const find = async (): Promise<readonly Target[]> => {
    const found = await findRuntimes(rooted, versionOf)
    return found.length === 0 ? [] : [...found, ...kubelet]
  }

  const planSafely = (runtime: Target, request: TrustRequest): Promise<Plan> =>
    planFor(rooted, runtime, request).catch((error: unknown) => failedPlan(messageOf(error)))

  const apply = async (): Promise<TrustStatus> => {
    const current = await authority?.current()
    const isAuthorityMissing = authority !== undefined && current === undefined
    logProblem('authority', authority?.problem())
    const runtimes = await find()
    const request: TrustRequest = {
      registries,
      mirrors,
      authority: current?.pem,
      nodeAddresses,
      credentialProvider,
    }
    const statuses: RuntimeStatus[] = []
    const planned = new Set<string>()
    for (const runtime of runtimes) {
      const plan = isAuthorityMissing
        ? failedPlan('the certificate authority cannot be read')
        : await planSafely(runtime, request)
      statuses.push(await files.write(runtime, plan, planned))
    }
    const configured = runtimes.filter((_, at) => isConfigured(statuses[at]))
    await files.removeUnneeded(configured, planned)
    const problem = authority?.problem()
    const problems = [
      ...(problem === undefined ? [] : [problem]),
      ...(runtimes.length === 0 ? [`no container runtime was found below ${options.root}`] : []),
    ]
    const ready = statuses.some(({ canPull }) => canPull)
    status = { ready, problems, runtimes: statuses, authorityExpires: isoOf(current?.expires) }
    setMetrics(options, status, current?.expires)
    if (runtimes.length === 0) logProblem('node', problems.at(-1))
    return status
  }

  /** What remains to be configured on the node is in the log, because only pods of Prometheus may reach the status. */
  const logNotes = ({ runtimes }: TrustStatus) => {
    for (const { runtime, notes } of runtimes) logNote(runtime, notes.join('\n'))
  }

  const undo: Trust['undo'] = async ({ keepCredentialProvider } = defaultUndo) => {
    const kept = keepCredentialProvider ? [] : kubelet
    const remaining = await files.undo([...(await findRuntimes(rooted)), ...kept])
    status = { ready: false, problems: ['undone'], runtimes: [], authorityExpires: undefined }
    return remaining
  }

  return {
    apply: () => inTurn(apply),
    status: () => status,
    undo: (given) => inTurn(() => undo(given)),
    follow: (interval) => {
      const applyAgain = async () => {
        await inTurn(apply).then(logNotes, (error: unknown) => {
          status = { ...status, ready: false, problems: [messageOf(error)] }
          logProblem('node', messageOf(error))
        })
        if (timer !== undefined) timer = setTimeout(applyAgain, interval)
      }
      timer = setTimeout(applyAgain, 0)
    },
    close: async () => {
      clearTimeout(timer)
      timer = undefined
      await running
    },
  }
}

function failedPlan(problem: string): Plan {
  return { files: [], canPull: false, problems: [problem], notes: [] }
}

/** A configuration that cannot be parsed may be half-written, so nothing is removed because of it. */
function isConfigured(status: RuntimeStatus | undefined): boolean {
  return status !== undefined && status.files.length > 0 && status.problems.length === 0
}

function setMetrics(
  { registries, telemetry: { metrics } }: TrustOptions,
  status: TrustStatus,
  expires: number | undefined,
): void {
  metrics.trustRuntimes.reset()
  metrics.trustFiles.reset()
  metrics.trustProblems.reset()
  for (const { runtime, canPull, files, problems } of status.runtimes) {
    if (runtime !== 'kubelet') metrics.trustRuntimes.set({ runtime }, canPull ? 1 : 0)
    metrics.trustFiles.set({ runtime }, files.length)
    metrics.trustProblems.set({ runtime }, problems.length)
  }
  if (expires === undefined) return
  for (const { registry } of registries)
    metrics.trustAuthorityExpiry.set({ registry }, expires / 1000)
}

function isoOf(time: number | undefined): string | undefined {
  return time === undefined ? undefined : new Date(time).toISOString()
}

function messageOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error)
}
