import { Command } from 'commander'
import { type Config, type Loaded, loadConfig } from '../../config/config.ts'
import { checkUpstream, type Finding, findImage, type Image } from '../../doctor/doctor.ts'
import { createMemory, defaultMemoryLimit } from '../../memory/memory.ts'
import { isRegistryError } from '../../oci/errors.ts'
import { createOutbound } from '../../outbound/outbound.ts'
import { createTelemetry } from '../../telemetry/telemetry.ts'
import { openCredentials, type Upstream } from '../credentials/upstream-credentials.ts'
import { collect, outputOption } from '../output/options.ts'
import { UsageError } from '../process/errors.ts'
import { exitOnSignals } from '../process/exit.ts'
import { openRemote } from '../serve/upstreams.ts'
import { bucketCommand } from './doctor-bucket-command.ts'
import { nodeCommand } from './doctor-node-command.ts'
import { formatFinding } from './findings.ts'

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
    .summary('find out why a pull fails')
    .description(
      'Find out why a pull fails: between Berth and an upstream, or on a node; and what a bucket lacks.',
    )
    .addCommand(upstreamCommand(context))
    .addCommand(nodeCommand())
    .addCommand(bucketCommand(context))
}

function upstreamCommand({ environment, version }: Context): Command {
  return new Command('upstream')
    .summary('check the connection, credentials and access to upstreams')
    .description(
      'Perform each step of a pull from an upstream, print the result of each step, and say what to change.',
    )
    .argument('[reference]', 'image reference as in a pod; default: check all upstreams')
    .option(
      '--config <file>',
      "the server's configuration file (default: $BERTH_CONFIG, else the embedded default)",
    )
    .option('--set <field=value>', 'set any field, as for berth serve; repeatable', collect)
    .addOption(outputOption)
    .addHelpText('after', examples)
    .action(async (requested: string | undefined, { config: file, set = [], output }: Options) => {
      exitOnSignals()
      const loaded = loadConfig({ file, flags: {}, set, environment })
      const write = output === 'text' ? (text: string) => void process.stdout.write(text) : () => {}
      const reports: Report[] = []
      for (const { upstream, image } of select(requested, loaded.config))
        reports.push(await check({ upstream, image, loaded, version, write }))
      const failed = reports.filter(({ ok }) => !ok).length
      process.stdout.write(
        output === 'json'
          ? `${JSON.stringify({ ok: failed === 0, upstreams: reports })}\n`
          : summarize(reports.length, failed),
      )
      if (failed > 0) process.exitCode = 1
    })
}

function select(
  requested: string | undefined,
  config: Config,
): readonly { readonly upstream: Upstream; readonly image: Image | undefined }[] {
  if (requested === undefined) {
    if (config.upstreams.length === 0) throw new UsageError('no upstream is configured')
    return config.upstreams.map((upstream) => ({ upstream, image: undefined }))
  }
  try {
    return [findImage(requested, config)]
  } catch (error) {
    throw isRegistryError(error) ? new UsageError(`${requested}: ${error.message}`) : error
  }
}

type CheckOptions = {
  readonly upstream: Upstream
  readonly image: Image | undefined
  readonly loaded: Loaded
  readonly version: string
  readonly write: (text: string) => void
}

async function check({ upstream, image, loaded, version, write }: CheckOptions): Promise<Report> {
  const { prefix, url } = upstream
  const { ambient } = loaded
  const telemetry = createTelemetry({ level: 'silent' })
  const outbound = createOutbound(ambient)
  const credentials = openCredentials(upstream, { ambient, outbound, telemetry })
  write(`\n${image?.requested ?? `${prefix || 'default upstream'} (${url})`}\n`)
  const findings: Finding[] = []
  for await (const finding of checkUpstream({
    upstream,
    image,
    credentials,
    openRemote: (onRequest) =>
      openRemote(upstream, {
        credentials,
        outbound,
        version,
        ...createMemory(defaultMemoryLimit()),
        telemetry,
        observe: ({ method, url: requestUrl, status }) =>
          onRequest(`${method} ${requestUrl}: ${status ?? 'no answer'}`),
      }),
    proxy: outbound.proxyFor(new URL(url)),
  })) {
    findings.push(finding)
    write(formatFinding(finding))
  }
  return {
    upstream: { prefix, url },
    reference: image?.requested,
    identity: credentials.identity(),
    ok: findings.every(({ outcome }) => outcome === 'ok'),
    findings,
  }
}

function summarize(checked: number, failed: number): string {
  if (failed === 0) return '\nNo problem found.\n'
  return checked === 1
    ? '\nPulls from this upstream fail.\n'
    : `\nPulls from ${failed} of ${checked} upstreams fail.\n`
}

const examples = `
Run it where berth serve runs: it reads the same configuration, environment and credentials. Secrets are
not printed. The exit status is 1 if a step failed.

Examples:
  # check all upstreams, without an image
  berth doctor upstream
  # check one image, by the reference of a pod
  berth doctor upstream localhost:30026/my-project/my-repo/app:1.2
  # check an image with a configuration file
  berth doctor upstream docker.io/library/busybox --config /etc/berth/berth.yaml
  # check from a running pod of Berth, with output for programs
  kubectl exec deploy/berth -- berth doctor upstream my-project/my-repo/app:1.2 -o json`
