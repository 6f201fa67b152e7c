import { Command } from 'commander'
import { loadConfig } from '../../config/config.ts'
import { checkBucket, type Finding } from '../../doctor/doctor.ts'
import { createOutbound } from '../../outbound/outbound.ts'
import { createTelemetry } from '../../telemetry/telemetry.ts'
import { collect, outputOption } from '../output/options.ts'
import { UsageError } from '../process/errors.ts'
import { exitOnSignals } from '../process/exit.ts'
import { openBucket } from '../serve/bucket.ts'
import { formatFinding } from './findings.ts'

type Options = {
  readonly config?: string
  readonly set?: readonly string[]
  readonly output: 'text' | 'json'
}

type Context = { readonly environment: Readonly<Record<string, string | undefined>> }

export function bucketCommand({ environment }: Context): Command {
  return new Command('bucket')
    .summary('check permissions and settings of buckets')
    .description(
      'Try with a small object what Berth needs of its buckets, remove the object again, and say which permissions and settings are missing.',
    )
    .option(
      '--config <file>',
      "the server's configuration file (default: $BERTH_CONFIG, else the embedded default)",
    )
    .option('--set <field=value>', 'set any field, as for berth serve; repeatable', collect)
    .addOption(outputOption)
    .addHelpText('after', examples)
    .action(async ({ config: file, set = [], output }: Options) => {
      exitOnSignals()
      const { config, ambient } = loadConfig({ file, flags: {}, set, environment })
      const { cache, hosted } = config.storage
      const buckets = [
        ...(cache.bucket === undefined ? [] : [{ use: 'cache', ...cache.bucket } as const]),
        ...(hosted.bucket === undefined ? [] : [{ use: 'hosted', ...hosted.bucket } as const]),
      ]
      if (buckets.length === 0)
        throw new UsageError(
          'no bucket is configured (storage.cache.bucket, storage.hosted.bucket)',
        )
      const context = {
        ambient,
        outbound: createOutbound(ambient),
        telemetry: createTelemetry({ level: 'silent' }),
      }
      const write = output === 'text' ? (text: string) => void process.stdout.write(text) : () => {}
      const reports: { readonly bucket: string; readonly findings: readonly Finding[] }[] = []
      for (const { use, ...described } of buckets) {
        const bucket = await openBucket(described, context)
        write(`\nstorage.${use}.bucket (${bucket.name})\n`)
        const findings: Finding[] = []
        const isRedirected = config.storage[use].redirects.enabled
        const checked = { use, bucket, prefix: described.prefix, isRedirected }
        for await (const finding of checkBucket(checked)) {
          findings.push(finding)
          write(formatFinding(finding))
        }
        await bucket.close()
        reports.push({ bucket: bucket.name, findings })
      }
      const isOk = reports.every(({ findings }) =>
        findings.every(({ outcome }) => outcome !== 'failed'),
      )
      write(isOk ? '\nNo problem found.\n' : '\nBerth cannot use a bucket.\n')
      if (output === 'json')
        process.stdout.write(`${JSON.stringify({ ok: isOk, buckets: reports })}\n`)
      if (!isOk) process.exitCode = 1
    })
}

const examples = `
Run it where berth serve runs: it reads the same configuration, environment and credentials. The exit
status is 1 if a step failed.

Examples:
  # check the buckets of the configuration
  berth doctor bucket --config /etc/berth/berth.yaml
  # check a bucket before it is configured
  berth doctor bucket --set storage.cache.bucket.type=s3 --set storage.cache.bucket.name=my-cache
  # check from a running pod of Berth, with output for programs
  kubectl exec deploy/berth -- berth doctor bucket -o json`
