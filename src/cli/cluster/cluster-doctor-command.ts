import { Command } from 'commander'
import type { Finding } from '../../doctor/doctor.ts'
import { listRegistryPods, type UserAccess } from '../../kubernetes/kubernetes.ts'
import type { Why } from '../../why/why.ts'
import { formatWhy } from '../administration/format-why.ts'
import { type AnyFinding, formatFinding } from '../doctor/findings.ts'
import type { Context } from '../login/registry-options.ts'
import { outputOption } from '../output/options.ts'
import { checkCluster, checkRegistry } from './cluster-checks.ts'
import { addClusterOptions, type ClusterOptions } from './cluster-options.ts'
import { runBerth } from './cluster-programs.ts'
import { type Replica, readReplica } from './cluster-status-command.ts'
import { openUserAccess } from './user-access.ts'

type Flags = ClusterOptions & { readonly output: 'text' | 'json' }

/** What `berth doctor upstream -o json` prints. */
type UpstreamReport = {
  readonly upstreams: readonly {
    readonly upstream: { readonly prefix: string; readonly url: string }
    readonly reference?: string
    readonly ok: boolean
    readonly findings: readonly Finding[]
  }[]
}

/** `kubectl berth doctor`: what is seen from outside, then what the doctor in the pod says. */
export function clusterDoctorCommand({ environment }: Context): Command {
  const command = new Command('doctor')
    .summary('find out why a registry in a cluster does not work, or why a pull fails')
    .description(
      'Check a registry in a cluster: your rights, its pods, its Service, and its parts; of a Registry, what its operator found; then, in the pod, each step of a pull from its upstreams, or of one image. Says what to change. It needs the right to list pods, and to exec for what is seen inside. The exit status is 1 if a check failed.',
    )
    .argument('[image]', 'image reference as in a pod; default: check all upstreams')
    .addOption(outputOption)
    .addHelpText('after', examples)
  return addClusterOptions(command).action(async (image: string | undefined, flags: Flags) => {
    const access = await openUserAccess(flags, environment)
    const isText = flags.output === 'text'
    const write = (text: string) => void (isText && process.stdout.write(text))
    const findings: AnyFinding[] = []
    const add = (finding: AnyFinding) => {
      findings.push(finding)
      write(formatFinding(finding))
    }
    const pods = await listRegistryPods(access, flags)
    write(`${[...new Set(pods.map(({ release }) => release))].join(', ')}\n`)
    for await (const finding of checkCluster(access, pods)) add(finding)
    const inside = await checkInside({ access, pods, image, write, add })
    const isOk = findings.every(({ outcome }) => outcome !== 'failed') && inside.ok
    if (isText) write(isOk ? '\nNo problem found.\n' : '\nProblems were found; see FAIL above.\n')
    else process.stdout.write(`${JSON.stringify({ ...inside, ok: isOk, findings })}\n`)
    if (!isOk) process.exitCode = 1
  })
}

type Inside = {
  readonly access: UserAccess
  readonly pods: readonly Parameters<typeof readReplica>[1][]
  readonly image: string | undefined
  readonly write: (text: string) => void
  readonly add: (finding: AnyFinding) => void
}

/** What the registry says about itself, and its doctor. */
async function checkInside({ access, pods, image, write, add }: Inside) {
  const [{ namespace, registry } = { namespace: '' }] = pods
  if (registry !== undefined) {
    for (const finding of await checkRegistry(access, namespace, registry)) add(finding)
    return { ok: true }
  }
  const replicas = await Promise.all(pods.map((pod) => readReplica(access, pod)))
  for (const replica of replicas) add(findingOf(replica))
  const asked = replicas.find(({ status }) => status !== undefined)
  if (asked?.status === undefined) return { ok: false }
  const run = async (...words: readonly string[]) => {
    const { stdout, stderr } = await runBerth(access, asked, [...words, '--output', 'json'])
    return stdout === '' ? stderr : (JSON.parse(stdout) as unknown)
  }
  const why = image === undefined ? undefined : ((await run('why', '--short', image)) as Why)
  if (why !== undefined) write(`\n${formatWhy(why, { now: Date.now() })}\n`)
  const isProxied =
    why === undefined ? asked.status.upstreams.length > 0 : why.rule?.kind === 'upstream'
  const isServed = why === undefined || why.servedBy !== 'nothing'
  if (!isProxied) return { ok: isServed, why }
  const report = (await run('doctor', 'upstream', ...(image === undefined ? [] : [image]))) as
    | UpstreamReport
    | string
  if (typeof report === 'string') {
    add({ step: 'upstreams', outcome: 'failed', message: report, requests: [] })
    return { ok: false, why }
  }
  for (const { upstream, reference, findings } of report.upstreams) {
    write(`\n${reference ?? `${upstream.prefix || 'default upstream'} (${upstream.url})`}\n`)
    for (const finding of findings) write(formatFinding(finding))
  }
  const { upstreams } = report
  return { ok: isServed && upstreams.every(({ ok }) => ok), why, upstreams }
}

function findingOf({ pod, status, error }: Replica): AnyFinding {
  if (status === undefined)
    return {
      step: 'registry',
      outcome: 'failed',
      message: `${pod} does not say how it is: ${error}`,
      advice: `see its log: kubectl logs ${pod}`,
      requests: [],
    }
  const problems = Object.entries(status.parts).filter(([, state]) => state !== 'ok')
  return {
    step: 'registry',
    outcome: problems.length === 0 ? 'ok' : 'failed',
    message:
      problems.length === 0
        ? `${pod} has version ${status.version}, and all of its parts work`
        : `${pod}: ${problems.map(([part, state]) => `${part}: ${state}`).join('; ')}`,
    requests: [],
  }
}

const examples = `
Examples:
  kubectl berth doctor
  kubectl berth doctor docker.io/library/busybox
  kubectl berth doctor app:1.2 -n registry -o json
  kubectl berth doctor --registry team -n team-a`
