import { text } from 'node:stream/consumers'
import { Command } from 'commander'
import { type Loaded, loadConfig } from '../config/config.ts'
import { askOnce, type Login, loginOf } from './ask-once.ts'
import { UsageError } from './errors.ts'
import { endWith, exitOnSignals, sentenceOf } from './farewell.ts'
import { parseServer } from './place.ts'
import { findUpstream, serverOf } from './upstream-by-host.ts'
import type { Upstream } from './upstream-credentials.ts'

type Context = {
  /** Of the process: what is set here, programs that it starts see. */
  readonly environment: Record<string, string | undefined>
  readonly version: string
}

/** The words by which docker and others know that there is none, and go on without. */
const notFound = 'credentials not found in native keychain'

/** docker's name of the user whose password is an identity token. */
const identityTokenUser = '<token>'

/** Programs that we start see it. */
const underWay = 'BERTH_CREDENTIAL_HELPER'

/**
 * The protocol of docker-credential-helpers: one action, its subject on standard input, the answer on
 * standard output, where the reason of a failure goes as well, with the exit status 1.
 */
export function dockerCredentialCommand({ environment, version }: Context): Command {
  return new Command('docker-credential')
    .description("Answer as a credential helper of docker's, for docker, podman, skopeo and others")
    .argument('<action>', 'get, list, store, erase or version')
    .option(
      '--config <file>',
      "Berth's configuration; else $BERTH_CONFIG, else the embedded default",
    )
    .configureOutput({ writeErr: (message) => void process.stdout.write(message) })
    .addHelpText('after', examples)
    .action(async (action: string, { config: file }: { readonly config?: string }) => {
      exitOnSignals()
      const load = () => loadConfig({ file, flags: {}, set: [], environment })
      const { said, status } = await answer(action, { load, environment, version }).catch(
        (error: unknown) => explain(action, sentenceOf(error)),
      )
      await endWith(process.stdout, said, status)
    })
}

type Said = { readonly said: string; readonly status: 0 | 1 }

async function answer(
  action: string,
  { load, environment, version }: Context & { readonly load: () => Loaded },
): Promise<Said> {
  switch (action) {
    case 'get':
      forbidCircles(environment)
      return get(load(), (await text(process.stdin)).trim())
    case 'list':
      forbidCircles(environment)
      return list(load())
    case 'version':
      return { said: `docker-credential-berth (berth) v${version}\n`, status: 0 }
    case 'store':
    case 'erase':
      throw new UsageError(refusal)
    default:
      throw new UsageError(`unknown credential action ${action}: get, list, store, erase, version`)
  }
}

/**
 * `docker pull` passes over what a helper says on standard output when it fails, and goes on without
 * a credential, to an error that explains nothing; what stands on standard error is shown by all.
 */
function explain(action: string, sentence: string): Said {
  if (action === 'get') process.stderr.write(sentence)
  return { said: sentence, status: 1 }
}

/**
 * docker-credential-gcr and -ecr-login refuse as well: `docker login` would say that it succeeded, and
 * have forgotten the password; `docker logout`, and everything could still be pulled.
 */
const refusal =
  'no logins are kept here: credentials come from the configuration of Berth (--config, $BERTH_CONFIG or the embedded default). To log in by hand, take this registry out of credHelpers (or credsStore) in the config.json of docker'

async function get(loaded: Loaded, server: string): Promise<Said> {
  const place = parseServer(server)
  if (place === undefined) throw new UsageError('no credentials server URL on standard input')
  const found = findUpstream(loaded, place)
  const login = found && (await loginFor(found.upstream, loaded))
  if (login === undefined) return { said: `${notFound}\n`, status: 1 }
  const { username: Username, password: Secret } = login
  return { said: `${JSON.stringify({ ServerURL: server, Username, Secret })}\n`, status: 0 }
}

/** What `get` would answer for, asked all at once; a registry that fails now is not among them. */
async function list(loaded: Loaded): Promise<Said> {
  const answers = await Promise.allSettled(
    loaded.config.upstreams.map(async (upstream) => {
      const login = await loginFor(upstream, loaded)
      return login === undefined ? [] : [[serverOf(upstream), login.username] as const]
    }),
  )
  const known = answers.flatMap((answered) =>
    answered.status === 'fulfilled' ? answered.value : [],
  )
  // Of several upstreams of one host the first answers: its name is put last.
  return { said: `${JSON.stringify(Object.fromEntries(known.toReversed()))}\n`, status: 0 }
}

async function loginFor(upstream: Upstream, { ambient }: Loaded): Promise<Login | undefined> {
  const { credential } = await askOnce(upstream, { ambient })
  if (credential.kind === 'identity-token' && credential.username === '')
    return { username: identityTokenUser, password: credential.token }
  return loginOf(credential)
}

/**
 * An upstream's credentials may come from docker's configuration, which may name this helper for it:
 * each would start the next one, for ever.
 */
function forbidCircles(environment: Context['environment']): void {
  if (environment[underWay] !== undefined)
    throw new UsageError(
      'asked by a credential helper that was started by this one: the configuration of Berth takes the credentials of an upstream from the configuration of docker, which names Berth for them; give that upstream credentials of its own (upstreams[].credentials)',
    )
  environment[underWay] = '1'
}

const examples = `
As docker-credential-berth on the path, it is what "berth" means in a config.json:
  { "credHelpers": { "us-docker.pkg.dev": "berth", "123456789012.dkr.ecr.eu-west-1.amazonaws.com": "berth" } }

Examples:
  echo us-docker.pkg.dev | berth docker-credential get
  echo https://index.docker.io/v1/ | BERTH_CONFIG=$HOME/.berth.yaml docker-credential-berth get
  berth docker-credential list --config berth.yaml`
