import { resolve } from 'node:path'
import { text } from 'node:stream/consumers'
import { Command, Option } from 'commander'
import type { z } from 'zod'
import { findUpstream, imagePatterns, type Loaded, loadConfig } from '../../config/config.ts'
import { loginOf, workloadAnnotations } from '../../credentials/credentials.ts'
import { describeIssue } from '../../input/input.ts'
import {
  type CacheType,
  cacheTypes,
  credentialProviderConfig,
  credentialProviderRequest,
  formatResponse,
  podTokenProvider,
  podTokenProviderConfig,
} from '../../kubernetes/kubernetes.ts'
import { parseImageName } from '../../oci/image-location.ts'
import { parseRegistryHost } from '../../trust/trust.ts'
import { collect } from '../output/options.ts'
import { UsageError } from '../process/errors.ts'
import { exitOnSignals, formatError, writeAndExit } from '../process/exit.ts'
import { requestCredential } from './request-credential.ts'

type Environment = Readonly<Record<string, string | undefined>>

type Options = {
  readonly config?: string
  readonly printConfig?: true
  readonly printScript?: true
  readonly registry?: readonly string[]
  readonly audience?: string
  readonly cacheType: CacheType
  readonly optionalServiceAccount?: true
}

/**
 * A kubelet runs this before it pulls an image: the CredentialProviderRequest is on standard input, the
 * response goes to standard output. After a failure the kubelet logs our standard error, counts it, and
 * pulls without a credential; after a success it logs nothing. So an image of no configured upstream is
 * a failure: otherwise no log would show that `matchImages` and our configuration differ.
 */
export function kubeletCredentialProviderCommand(environment: Environment): Command {
  return new Command('kubelet-credential-provider')
    .summary("print an image's credentials, as a kubelet credential provider")
    .description(
      "Answer a kubelet's request for the credentials of an image, as a kubelet credential provider plugin (KEP-2133).",
    )
    .option(
      '--config <file>',
      "Berth's configuration file (default: $BERTH_CONFIG, else the embedded default)",
    )
    .option(
      '--print-config',
      "print the CredentialProviderConfig for the kubelet's --image-credential-provider-config, and exit",
    )
    .option(
      '--registry <host:port>',
      "with --print-config: host of Berth in image names; pods pull from it as themselves, by --print-script's program; repeatable",
      collect,
    )
    .option(
      '--print-script',
      'print the program that a kubelet runs for --registry: a shell script named berth-pod-token, as nodes have no Node.js; and exit',
    )
    .option(
      '--audience <audience>',
      "with --print-config: use the pod's identity, by service account tokens for this audience (KEP-4412)",
    )
    .addOption(
      new Option(
        '--cache-type <type>',
        'with --audience: what the kubelet caches a response for, a service account or one token',
      )
        .choices(cacheTypes)
        .default('ServiceAccount'),
    )
    .option(
      '--optional-service-account',
      "with --audience: pods without a service account, such as static pods, use the node's identity",
    )
    .addHelpText('after', examples)
    .action(async ({ config: file, printConfig, printScript, ...options }: Options) => {
      exitOnSignals()
      if (printScript === true) return void process.stdout.write(podTokenProvider)
      const load = () => loadConfig({ file, flags: {}, set: [], environment })
      if (printConfig === true) {
        const { registry: registries } = options
        process.stdout.write(
          registries === undefined
            ? configurationFor(load(), options)
            : podTokenProviderConfig({
                registries: registries.map(parseRegistry),
                audience: options.audience ?? defaultAudience,
              }),
        )
        return
      }
      try {
        await writeAndExit(process.stdout, await respond(await text(process.stdin), load), 0)
      } catch (error) {
        await writeAndExit(process.stderr, formatError(error), 1)
      }
    })
}

/** The chart's default for `auth.serviceAccounts.audience`. */
const defaultAudience = 'berth'

function parseRegistry(text: string): string {
  const host = parseRegistryHost(text)
  if (host === undefined)
    throw new UsageError(`--registry ${text} is invalid: expected HOST or HOST:PORT`)
  return host
}

function configurationFor(loaded: Loaded, options: Omit<Options, 'config'>): string {
  const matchImages = imagePatterns(loaded)
  if (matchImages.length === 0)
    throw new UsageError(
      'no upstream has credentials: a kubelet would have nothing to request; set upstreams[].credentials',
    )
  return credentialProviderConfig({
    matchImages,
    configFile: loaded.file && resolve(loaded.file),
    audience: options.audience,
    cacheType: options.cacheType,
    optionalServiceAccount: options.optionalServiceAccount ?? false,
    annotationKeys: loaded.config.upstreams.flatMap(
      ({ credentials }) => workloadAnnotations[credentials.type] ?? [],
    ),
  })
}

async function respond(input: string, load: () => Loaded): Promise<string> {
  const { apiVersion, image, serviceAccountToken, serviceAccountAnnotations } = parseRequest(input)
  const location = parseImageName(image)
  if (location === undefined)
    throw new UsageError(`${JSON.stringify(image)} is not a valid image name`)
  const loaded = load()
  const found = findUpstream(loaded, location)
  if (found === undefined)
    throw new UsageError(noUpstream(`${location.host}/${location.repository}`, loaded))
  const { upstream, ownsHost } = found

  const { credential, validFor, source } = await requestCredential(upstream, {
    ambient: loaded.ambient,
    workloadToken: serviceAccountToken
      ? { token: serviceAccountToken, annotations: serviceAccountAnnotations }
      : undefined,
  })
  const login = loginOf(credential)
  if (login === undefined && credential.kind !== 'anonymous')
    throw new UsageError(
      `${source} has only an identity token for ${location.host}, which a kubelet cannot use: configure credentials with a user name and a password`,
    )
  return formatResponse({
    apiVersion,
    key: ownsHost ? location.host : `${location.host}/${location.repository}`,
    cacheKeyType: ownsHost ? 'Registry' : 'Image',
    login,
    validFor,
  })
}

function parseRequest(input: string): z.output<typeof credentialProviderRequest> {
  const json = parseJson(input)
  if (json === undefined) throw new UsageError(`standard input is not JSON; ${expectation}`)
  const parsed = credentialProviderRequest.safeParse(json, { error: describeIssue })
  if (parsed.success) return parsed.data
  const issues = parsed.error.issues.map(({ path, message }) =>
    path.length === 0 ? message : `${path.join('.')} ${message}`,
  )
  throw new UsageError(
    `the request on standard input is invalid: ${issues.join('; ')}; ${expectation}`,
  )
}

const expectation = 'expected the CredentialProviderRequest of a kubelet'

/** The parser's own message shows a part of the text, which contains a token. */
function parseJson(input: string): unknown {
  try {
    return JSON.parse(input)
  } catch {
    return undefined
  }
}

function noUpstream(image: string, { file }: Loaded): string {
  const where = file === undefined ? 'the embedded default (no --config, no $BERTH_CONFIG)' : file
  return `no upstream in ${where} serves ${image}: add one under "upstreams", or remove its registry from matchImages in the kubelet's CredentialProviderConfig (berth kubelet-credential-provider --print-config prints a matching one)`
}

const examples = `
The kubelet runs the file berth-credential-provider in its --image-credential-provider-bin-dir. Make
that file a link to Berth's main.js, or a script:
  exec /opt/berth/bin/node /opt/berth/dist/main.js kubelet-credential-provider "$@"

Examples:
  # the kubelet's configuration: pull with the identity of the node
  berth kubelet-credential-provider --config /etc/berth/node.yaml --print-config > credential-provider.yaml
  # the same, with the identity of the pod
  berth kubelet-credential-provider --config /etc/berth/node.yaml --print-config --audience https://iam.googleapis.com/projects/N/locations/global/workloadIdentityPools/P/providers/X
  # pods pull from Berth itself as themselves: a shell script for the kubelet, and its configuration
  berth kubelet-credential-provider --print-script > berth-pod-token
  berth kubelet-credential-provider --print-config --registry localhost:30026 --audience berth > credential-provider.yaml
  # what a kubelet does before it pulls an image
  echo '{"apiVersion":"credentialprovider.kubelet.k8s.io/v1","kind":"CredentialProviderRequest","image":"us-docker.pkg.dev/p/r/i"}' | berth kubelet-credential-provider`
