import { text } from 'node:stream/consumers'
import { Command, Option } from 'commander'
import { z } from 'zod'
import { type Loaded, loadConfig } from '../config/config.ts'
import { describeIssue } from '../oci/issues.ts'
import { askOnce, loginOf } from './ask-once.ts'
import { UsageError } from './errors.ts'
import { endWith, exitOnSignals, sentenceOf } from './farewell.ts'
import { type CacheType, cacheTypes, kubeletConfiguration } from './kubelet-configuration.ts'
import { parseImage } from './place.ts'
import { findUpstream } from './upstream-by-host.ts'

type Environment = Readonly<Record<string, string | undefined>>

type Options = {
  readonly config?: string
  readonly printConfig?: true
  readonly audience?: string
  readonly cacheType: CacheType
  readonly optionalServiceAccount?: true
}

/** k8s.io/kubelet, pkg/apis/credentialprovider: all its versions have the fields that we read. */
const requestSchema = z.object({
  apiVersion: z.enum(
    ['v1', 'v1beta1', 'v1alpha1'].map((version) => `credentialprovider.kubelet.k8s.io/${version}`),
  ),
  kind: z.literal('CredentialProviderRequest'),
  image: z.string(),
  serviceAccountToken: z.string().optional(),
  serviceAccountAnnotations: z.record(z.string(), z.string()).default({}),
})

/**
 * What a kubelet runs before it pulls an image: a CredentialProviderRequest on standard input, the
 * response on standard output. Of a failure it logs what stands on standard error, counts it, and
 * pulls without a credential; of a success it logs nothing. So an image that we know nothing of is a
 * failure: its `matchImages` and our configuration have drifted apart, and nobody would be told.
 */
export function kubeletCredentialProviderCommand(environment: Environment): Command {
  return new Command('kubelet-credential-provider')
    .description("Answer a kubelet that asks for an image's credentials (KEP-2133)")
    .option(
      '--config <file>',
      "Berth's configuration; else $BERTH_CONFIG, else the embedded default",
    )
    .option('--print-config', "print the kubelet's CredentialProviderConfig for it, and exit")
    .option(
      '--audience <audience>',
      'with --print-config: ask as the pod, by a service account token for this audience (KEP-4412)',
    )
    .addOption(
      new Option('--cache-type <type>', 'with --audience: for whom the kubelet keeps an answer')
        .choices(cacheTypes)
        .default('ServiceAccount'),
    )
    .option(
      '--optional-service-account',
      'with --audience: pods without a service account, such as static ones, ask as the node',
    )
    .addHelpText('after', examples)
    .action(async ({ config: file, printConfig, ...options }: Options) => {
      exitOnSignals()
      const load = () => loadConfig({ file, flags: {}, set: [], environment })
      if (printConfig === true) {
        process.stdout.write(kubeletConfiguration(load(), options))
        return
      }
      try {
        await endWith(process.stdout, await respond(await text(process.stdin), load), 0)
      } catch (error) {
        await endWith(process.stderr, sentenceOf(error), 1)
      }
    })
}

async function respond(input: string, load: () => Loaded): Promise<string> {
  const { apiVersion, image, serviceAccountToken, serviceAccountAnnotations } = parseRequest(input)
  const place = parseImage(image)
  if (place === undefined) throw new UsageError(`${JSON.stringify(image)} is no image's name`)
  const loaded = load()
  const found = findUpstream(loaded, place)
  if (found === undefined)
    throw new UsageError(unknown(`${place.host}/${place.repository}`, loaded))
  const { upstream, isWhole } = found

  const { credential, validFor, source } = await askOnce(upstream, {
    ambient: loaded.ambient,
    workloadToken: serviceAccountToken
      ? { token: serviceAccountToken, annotations: serviceAccountAnnotations }
      : undefined,
  })
  const login = loginOf(credential)
  if (login === undefined && credential.kind !== 'anonymous')
    throw new UsageError(
      `${source} has an identity token for ${place.host}, which a kubelet cannot use: it needs a user name and a password`,
    )
  const key = isWhole ? place.host : `${place.host}/${place.repository}`
  return `${JSON.stringify({
    apiVersion,
    kind: 'CredentialProviderResponse',
    cacheKeyType: isWhole ? 'Registry' : 'Image',
    ...cacheDuration(login === undefined ? 0 : validFor),
    ...(login !== undefined && { auth: { [key]: login } }),
  })}\n`
}

function parseRequest(input: string): z.output<typeof requestSchema> {
  const json = parseJson(input)
  if (json === undefined) throw new UsageError(`standard input is not JSON; ${whatIsExpected}`)
  const parsed = requestSchema.safeParse(json, { error: describeIssue })
  if (parsed.success) return parsed.data
  const issues = parsed.error.issues.map(({ path, message }) =>
    path.length === 0 ? message : `${path.join('.')} ${message}`,
  )
  throw new UsageError(`standard input cannot be used: ${issues.join('; ')}; ${whatIsExpected}`)
}

const whatIsExpected = 'a kubelet writes a CredentialProviderRequest there'

/** The parser's own message shows a part of the text, in which a token stands. */
function parseJson(input: string): unknown {
  try {
    return JSON.parse(input)
  } catch {
    return undefined
  }
}

function unknown(image: string, { file }: Loaded): string {
  const where = file === undefined ? 'the embedded default (no --config, no $BERTH_CONFIG)' : file
  return `no upstream in ${where} serves ${image}: add one under "upstreams", or take its registry out of matchImages in the kubelet's CredentialProviderConfig (berth kubelet-credential-provider --print-config writes one that fits)`
}

/** Of a credential's life, what is left for a pull that begins at the very end, in milliseconds. */
const margin = 300_000

/**
 * As Go writes a duration. Without one, the kubelet's own defaultCacheDuration holds: nobody knows when
 * the credential expires.
 */
function cacheDuration(validFor: number | undefined): { readonly cacheDuration?: string } {
  if (validFor === undefined) return {}
  const seconds = Math.floor(Math.max(validFor - margin, validFor / 2, 0) / 1000)
  const [hours, minutes] = [Math.floor(seconds / 3600), Math.floor(seconds / 60) % 60]
  const parts = [hours > 0 && `${hours}h`, seconds >= 60 && `${minutes}m`, `${seconds % 60}s`]
  return { cacheDuration: parts.filter(Boolean).join('') }
}

const examples = `
The kubelet runs the file berth-credential-provider in its --image-credential-provider-bin-dir:
a link to Berth's main.js, or a script that says
  exec /opt/berth/bin/node /opt/berth/dist/main.js kubelet-credential-provider "$@"

Examples:
  berth kubelet-credential-provider --config /etc/berth/node.yaml --print-config > credential-provider.yaml
  berth kubelet-credential-provider --config /etc/berth/node.yaml --print-config --audience https://iam.googleapis.com/projects/N/locations/global/workloadIdentityPools/P/providers/X
  echo '{"apiVersion":"credentialprovider.kubelet.k8s.io/v1","kind":"CredentialProviderRequest","image":"us-docker.pkg.dev/p/r/i"}' | berth kubelet-credential-provider`
