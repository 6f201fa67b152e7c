import { Command, Option } from 'commander'
import { type Config, type Loaded, loadConfig } from '../config/config.ts'
import { examine, type Finding, findTarget, type Patient, type Target } from '../doctor/doctor.ts'
import { createMemory, defaultMemoryLimit } from '../memory/memory.ts'
import { isRegistryError } from '../oci/errors.ts'
import { createOutbound } from '../outbound/outbound.ts'
import { createTelemetry } from '../telemetry/telemetry.ts'
import { nodeCommand } from './doctor-node-command.ts'
import { UsageError } from './errors.ts'
import { exitOnSignals } from './exit.ts'
import { lines } from './findings.ts'
import { openCredentials, type Upstream } from './upstream-credentials.ts'
import { openRemote } from './upstreams.ts'

type Context = {
  readonly environment: Readonly<Record<string, string | undefined>>
  readonly version: string
}

type Options = {
  readonly config?: string
  readonly set?: readonly string[]
  readonly output: 'text' | 'json'
}

/** What `-o json` prints of one upstream. */
type Report = {
  readonly upstream: { readonly prefix: string; readonly url: string }
  readonly reference: string | undefined
  readonly identity: string
  readonly ok: boolean
  readonly findings: readonly Finding[]
}

export function doctorCommand(context: Context): Command {
  return new Command('doctor')
    .description('Find out why something does not work')
    .addCommand(upstreamCommand(context))
    .addCommand(nodeCommand())
}

function upstreamCommand({ environment, version }: Context): Command {
  return new Command('upstream')
    .description('Walk the way of a pull to an upstream, and say for each step what came back')
    .argument('[reference]', 'an image as a pod names it; without it, every upstream is tried')
    .option('--config <file>', "the server's configuration; else $BERTH_CONFIG")
    .option(
      '--set <field=value>',
      'any field, as for berth serve',
      (value: string, before: readonly string[] = []) => [...before, value],
    )
    .addOption(
      new Option('-o, --output <format>', 'for people or for programs')
        .choices(['text', 'json'])
        .default('text'),
    )
    .addHelpText('after', examples)
    .action(async (asked: string | undefined, { config: file, set = [], output }: Options) => {
      exitOnSignals()
      const loaded = loadConfig({ file, flags: {}, set, environment })
      const reports: Report[] = []
      for (const { upstream, target } of chosen(asked, loaded.config)) {
        const told =
          output === 'text' ? (line: string) => void process.stdout.write(line) : () => {}
        reports.push(await treat({ upstream, target, loaded, version, told }))
      }
      const troubled = reports.filter(({ ok }) => !ok).length
      process.stdout.write(
        output === 'json'
          ? `${JSON.stringify({ ok: troubled === 0, upstreams: reports })}\n`
          : verdict(reports.length, troubled),
      )
      if (troubled > 0) process.exitCode = 1
    })
}

function chosen(
  asked: string | undefined,
  config: Config,
): readonly { readonly upstream: Upstream; readonly target: Target | undefined }[] {
  if (asked === undefined) {
    if (config.upstreams.length === 0) throw new UsageError('no upstream is configured')
    return config.upstreams.map((upstream) => ({ upstream, target: undefined }))
  }
  try {
    return [findTarget(asked, config)]
  } catch (error) {
    throw isRegistryError(error) ? new UsageError(`${asked}: ${error.message}`) : error
  }
}

type TreatOptions = {
  readonly upstream: Upstream
  readonly target: Target | undefined
  readonly loaded: Loaded
  readonly version: string
  readonly told: (text: string) => void
}

async function treat({ upstream, target, loaded, version, told }: TreatOptions): Promise<Report> {
  const { prefix, url } = upstream
  const { ambient } = loaded
  const telemetry = createTelemetry({ level: 'silent' })
  const outbound = createOutbound(ambient)
  const credentials = openCredentials(upstream, { ambient, outbound, telemetry })
  const patient: Patient = {
    upstream,
    target,
    credentials,
    openRemote: (observe) =>
      openRemote(upstream, {
        credentials,
        outbound,
        version,
        ...createMemory(defaultMemoryLimit()),
        telemetry,
        observe: ({ method, url: asked, status }) =>
          observe(`${method} ${asked}: ${status ?? 'no answer'}`),
      }),
    proxy: outbound.proxyFor(new URL(url)),
  }
  told(`\n${target?.asked ?? `${prefix || 'default upstream'} (${url})`}\n`)
  const findings: Finding[] = []
  for await (const finding of examine(patient)) {
    findings.push(finding)
    told(lines(finding))
  }
  const ok = findings.every(({ outcome }) => outcome === 'ok')
  return {
    upstream: { prefix, url },
    reference: target?.asked,
    identity: credentials.identity(),
    ok,
    findings,
  }
}

function verdict(all: number, troubled: number): string {
  if (troubled === 0) return '\nNothing is wrong.\n'
  return all === 1
    ? '\nA pull would fail.\n'
    : `\n${troubled} of ${all} upstreams are in trouble.\n`
}

const examples = `
It reads the configuration, the environment and the credentials that berth serve would read: run it
where that runs. The exit status is 1 when a step failed. No secret is shown.

Examples:
  berth doctor upstream                                             every upstream, without an image
  berth doctor upstream localhost:30026/my-project/my-repo/app:1.2
  berth doctor upstream docker.io/library/busybox --config /etc/berth/berth.yaml
  kubectl exec deploy/berth -- berth doctor upstream my-project/my-repo/app:1.2 -o json`
