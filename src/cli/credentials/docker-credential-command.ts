import { text } from 'node:stream/consumers'
import { Command } from 'commander'
import { dockerKeyOf, findUpstream, type Loaded, loadConfig } from '../../config/config.ts'
import { type Login, loginOf } from '../../credentials/credentials.ts'
import { parseServerUrl } from '../../oci/image-location.ts'
import { UsageError } from '../process/errors.ts'
import { exitOnSignals, formatError, writeAndExit } from '../process/exit.ts'
import { requestCredential } from './request-credential.ts'
import type { Upstream } from './upstream-credentials.ts'

type Context = {
  /** Of this process: programs that it starts inherit what is set here. */
  readonly environment: Record<string, string | undefined>
  readonly version: string
}

/** The message on which docker and others continue without credentials. */
const notFound = 'credentials not found in native keychain'

/** The user name with which docker marks a password as an identity token. */
const identityTokenUser = '<token>'

/** Set for the programs that this one starts. */
const recursionVariable = 'BERTH_CREDENTIAL_HELPER'

/**
 * The protocol of docker-credential-helpers: one action as the argument, its input on standard input,
 * the result on standard output. A failure goes to standard output too, with exit status 1.
 */
export function dockerCredentialCommand({ environment, version }: Context): Command {
  return new Command('docker-credential')
    .summary("print an upstream's credentials, as a docker credential helper")
    .description(
      "Print the credentials of an upstream's registry, as a credential helper for docker, podman, skopeo and other clients.",
    )
    .argument('<action>', 'get, list or version; store and erase are rejected')
    .option(
      '--config <file>',
      "Berth's configuration file (default: $BERTH_CONFIG, else the embedded default)",
    )
    .configureOutput({ writeErr: (message) => void process.stdout.write(message) })
    .addHelpText('after', examples)
    .action(async (action: string, { config: file }: { readonly config?: string }) => {
      exitOnSignals()
      const load = () => loadConfig({ file, flags: {}, set: [], environment })
      const { output, status } = await perform(action, { load, environment, version }).catch(
        (error: unknown) => fail(action, formatError(error)),
      )
      await writeAndExit(process.stdout, output, status)
    })
}

type Result = { readonly output: string; readonly status: 0 | 1 }

async function perform(
  action: string,
  { load, environment, version }: Context & { readonly load: () => Loaded },
): Promise<Result> {
  switch (action) {
    case 'get':
      preventRecursion(environment)
      return get(load(), (await text(process.stdin)).trim())
    case 'list':
      preventRecursion(environment)
      return list(load())
    case 'version':
      return { output: `docker-credential-berth (berth) v${version}\n`, status: 0 }
    case 'store':
    case 'erase':
      throw new UsageError(readOnly)
    default:
      throw new UsageError(`unknown action ${action}: expected get, list, store, erase or version`)
  }
}

/**
 * On a failed `get`, `docker pull` ignores the helper's standard output and pulls without a credential,
 * which ends in a misleading error. All clients show standard error.
 */
function fail(action: string, message: string): Result {
  if (action === 'get') process.stderr.write(message)
  return { output: message, status: 1 }
}

/**
 * docker-credential-gcr and -ecr-login reject these actions as well. Otherwise `docker login` would
 * report success without saving the password, and after `docker logout` pulls would still work.
 */
const readOnly =
  "cannot store or erase logins: credentials come from Berth's configuration (--config, $BERTH_CONFIG or the embedded default). To use docker login for this registry, remove it from credHelpers (or credsStore) in docker's config.json"

async function get(loaded: Loaded, server: string): Promise<Result> {
  const location = parseServerUrl(server)
  if (location === undefined)
    throw new UsageError(
      'no credentials server URL on standard input: expected a host or a URL, such as us-docker.pkg.dev',
    )
  const found = findUpstream(loaded, location)
  const login = found && (await loginFor(found.upstream, loaded))
  if (login === undefined) return { output: `${notFound}\n`, status: 1 }
  const { username: Username, password: Secret } = login
  return { output: `${JSON.stringify({ ServerURL: server, Username, Secret })}\n`, status: 0 }
}

/** All servers for which `get` succeeds now. */
async function list(loaded: Loaded): Promise<Result> {
  const results = await Promise.allSettled(
    loaded.config.upstreams.map(async (upstream) => {
      const login = await loginFor(upstream, loaded)
      return login === undefined ? [] : [[dockerKeyOf(upstream), login.username] as const]
    }),
  )
  const known = results.flatMap((result) => (result.status === 'fulfilled' ? result.value : []))
  // `get` uses the first upstream of a host, so its user name must be set last.
  return { output: `${JSON.stringify(Object.fromEntries(known.toReversed()))}\n`, status: 0 }
}

async function loginFor(upstream: Upstream, { ambient }: Loaded): Promise<Login | undefined> {
  const { credential } = await requestCredential(upstream, { ambient })
  if (credential.kind === 'identity-token' && credential.username === '')
    return { username: identityTokenUser, password: credential.token }
  return loginOf(credential)
}

/**
 * An upstream's credentials may come from docker's configuration, and that may name this helper for
 * the same upstream: each process would start the next one without end.
 */
function preventRecursion(environment: Context['environment']): void {
  if (environment[recursionVariable] !== undefined)
    throw new UsageError(
      "this credential helper was started by itself: Berth's configuration takes the credentials of an upstream from docker's configuration, and that names Berth as the credential helper; configure other credentials for that upstream (upstreams[].credentials)",
    )
  environment[recursionVariable] = '1'
}

const examples = `
docker finds it as docker-credential-berth in the PATH, under the name "berth" in config.json:
  { "credHelpers": { "us-docker.pkg.dev": "berth", "123456789012.dkr.ecr.eu-west-1.amazonaws.com": "berth" } }

Examples:
  # the credentials of one registry, by the embedded default
  echo us-docker.pkg.dev | berth docker-credential get
  # the credentials of Docker Hub, by a configuration file
  echo https://index.docker.io/v1/ | BERTH_CONFIG=$HOME/.berth.yaml docker-credential-berth get
  # the user names of all upstreams
  berth docker-credential list --config berth.yaml`
