import { randomBytes } from 'node:crypto'
import { Command, Option } from 'commander'
import { hashPassword } from '../../auth/auth.ts'
import { readRegularFile } from '../../input/input.ts'
import {
  type AppliedObject,
  applySimple,
  type MadeChoices,
  planSimple,
  type SimplePlan,
  simpleDeployment,
  type Users,
  waitForDeployment,
} from '../../install/install.ts'
import type { Context } from '../login/registry-options.ts'
import { untilInterrupted } from '../output/image-output.ts'
import { UsageError } from '../process/errors.ts'
import {
  addInstallOptions,
  describeApplied,
  formatObjects,
  type InstallOptions,
  openCluster,
  stepsFor,
  timeoutOf,
} from './install-options.ts'

type Flags = InstallOptions & {
  readonly image?: string
  readonly pullPolicy?: 'Always' | 'IfNotPresent' | 'Never'
  /** True: a login is generated; else an htpasswd file. */
  readonly authorization?: true | string
  readonly anonymous?: boolean
  /** False: none, unlike before. */
  readonly authentication?: boolean | 'cert-manager' | 'self-signed'
  readonly issuer?: string
  readonly clusterIssuer?: string
  readonly size?: string
  readonly storageClass?: string
  readonly emptyDir?: boolean
}

/** The user of a generated login. */
const username = 'berth'
const host = 'localhost:30026'

export function simpleInstallCommand(context: Context): Command {
  const command = new Command('install')
    .summary('install Berth, or change an installation')
    .description(
      'Install Berth in a namespace, which is created if it does not exist. Repeat the command to change or upgrade the installation: what is not chosen again stays as it is. Without cert-manager, --authentication self-signed makes the certificate here.',
    )
    .option('--image <image>', `Berth's image (default: localhost/berth:${context.version})`)
    .addOption(
      new Option(
        '--pull-policy <policy>',
        'when nodes pull the image (default: Never if its name begins with localhost/, else IfNotPresent)',
      ).choices(['Always', 'IfNotPresent', 'Never']),
    )
    .option(
      '--authorization [file]',
      `users must log in: those of an htpasswd file (berth htpasswd USER), or the user ${username} with a generated password, which is printed once`,
    )
    .option('--anonymous', 'everyone who reaches the registry may pull, push and delete')
    .addOption(
      new Option(
        '--authentication [method]',
        'serve HTTPS, with a certificate of cert-manager or a self-signed authority',
      )
        .choices(['cert-manager', 'self-signed'])
        .preset('cert-manager'),
    )
    .option('--no-authentication', 'serve plain HTTP, if HTTPS was chosen before')
    .option('--issuer <name>', 'an Issuer of cert-manager in the namespace, for the certificate')
    .option('--cluster-issuer <name>', 'a ClusterIssuer of cert-manager, for the certificate')
    .option('--size <quantity>', 'size of the volume with pushed images (default: 50Gi)')
    .option('--storage-class <name>', "StorageClass of the volume (default: the cluster's)")
    .option('--empty-dir', 'no volume: pushed images are lost with the pod')
  return addInstallOptions(command, 'the registry is ready')
    .addHelpText('after', examples)
    .action((flags: Flags) =>
      flags.dryRun === true
        ? printObjects(flags, context)
        : untilInterrupted((signal) => install(flags, context, signal)),
    )
}

async function printObjects(flags: Flags, context: Context): Promise<void> {
  const plan = await planSimple(undefined, await installation(flags, context, 'default'))
  process.stdout.write(formatObjects(flags, plan.objects))
  if (plan.login !== undefined) process.stderr.write(loginLine(plan.login))
}

async function install(flags: Flags, context: Context, signal: AbortSignal): Promise<void> {
  if (flags.output === 'yaml')
    throw new UsageError('-o yaml prints the objects: add --dry-run, which applies nothing')
  const timeout = timeoutOf(flags)
  const step = stepsFor(flags)
  const { objects: cluster, namespace } = await openCluster(flags, context, signal)
  const plan = await planSimple(cluster, await installation(flags, context, namespace))
  const applied = await applySimple(cluster, {
    namespace,
    plan,
    force: flags.forceConflicts,
    onApplied: (object) => step(describeApplied(object)),
  })
  for (const what of plan.kept) step(`kept ${what} as it is`)
  for (const warning of warningsFor(plan)) process.stderr.write(`warning: ${warning}\n`)
  // Before anything can fail: it is shown only now.
  if (flags.output === 'text' && plan.login !== undefined)
    process.stdout.write(loginLine(plan.login))
  let isReady: boolean | undefined
  try {
    if (flags.wait === true) {
      isReady = false
      const onState = (state: string) => step(`waiting: ${state}`)
      await waitForDeployment(cluster, simpleDeployment(namespace), { timeout, onState, signal })
      isReady = true
    }
  } finally {
    report(flags, { namespace, plan, applied, isReady })
  }
}

async function installation(flags: Flags, { version }: Context, namespace: string) {
  return {
    namespace: flags.namespace ?? namespace,
    choices: choicesOf(flags),
    defaultImage: `localhost/berth:${version}`,
    users:
      typeof flags.authorization === 'string'
        ? { lines: await readUsers(flags.authorization) }
        : undefined,
    createUsers,
    now: new Date(),
  }
}

/** @throws UsageError for choices that exclude each other. */
function choicesOf(flags: Flags): MadeChoices {
  const { image, authorization, anonymous, emptyDir, storageClass } = flags
  if (authorization !== undefined && anonymous === true)
    throw new UsageError('--authorization and --anonymous exclude each other')
  if (emptyDir === true && storageClass !== undefined)
    throw new UsageError('--empty-dir and --storage-class exclude each other')
  if (image !== undefined && /^(localhost|127\.[\d.]+|\[::1\]):\d+\//.test(image))
    throw new UsageError(
      `--image ${image}: this name is served by Berth itself, which must run before anything can be pulled from it; use another registry, or copy the image to the nodes (npm run image -- --load nodes)`,
    )
  if (flags.size !== undefined && !/^[1-9]\d*(\.\d+)?([kMGTPE]|[KMGTPE]i)?$/.test(flags.size))
    throw new UsageError(`--size ${flags.size}: expected a quantity, such as 50Gi`)
  return {
    image,
    pullPolicy: flags.pullPolicy,
    access: anonymous === true ? 'none' : authorization === undefined ? undefined : 'users',
    tls: tlsOf(flags),
    issuer: issuerOf(flags),
    storage: emptyDir === true ? 'empty-dir' : storageClass === undefined ? undefined : 'claim',
    size: flags.size,
    storageClass,
  }
}

function tlsOf({ authentication, issuer, clusterIssuer }: Flags): MadeChoices['tls'] {
  const hasIssuer = issuer !== undefined || clusterIssuer !== undefined
  if (hasIssuer && (authentication === false || authentication === 'self-signed'))
    throw new UsageError('--issuer and --cluster-issuer need --authentication cert-manager')
  switch (authentication) {
    case undefined:
      return hasIssuer ? 'cert-manager' : undefined
    case false:
      return 'none'
    case true:
      return 'cert-manager'
    default:
      return authentication
  }
}

function issuerOf({ issuer, clusterIssuer }: Flags): MadeChoices['issuer'] {
  if (issuer !== undefined && clusterIssuer !== undefined)
    throw new UsageError('--issuer and --cluster-issuer exclude each other')
  if (issuer !== undefined) return { kind: 'Issuer', name: issuer }
  return clusterIssuer === undefined ? undefined : { kind: 'ClusterIssuer', name: clusterIssuer }
}

async function readUsers(file: string): Promise<string> {
  const lines = await readRegularFile(file)
  if (!/^[^:\s]+:\$2[aby]\$/m.test(lines))
    throw new UsageError(`--authorization ${file}: expected lines that berth htpasswd USER prints`)
  return lines
}

/** A password of 144 bits. */
async function createUsers(): Promise<Users> {
  const password = randomBytes(18).toString('base64url')
  const lines = `${username}:${await hashPassword(password, 10)}`
  return { lines, login: { username, password } }
}

function loginLine({ username: user, password }: NonNullable<SimplePlan['login']>): string {
  return `login, shown only now: user ${user}, password ${password}\n`
}

function warningsFor({ choices }: SimplePlan): readonly string[] {
  return [
    ...(choices.access === 'none'
      ? [
          'everyone who reaches the registry may pull, push and delete; --authorization changes that',
        ]
      : []),
    ...(choices.storage === 'empty-dir'
      ? ['pushed images are lost with the pod (--empty-dir)']
      : []),
    ...(choices.tls === 'none'
      ? []
      : [
          'nodes and clients must trust the authority ca.crt of Secret berth-tls (see berth trust)',
        ]),
  ]
}

type Result = {
  readonly namespace: string
  readonly plan: SimplePlan
  readonly applied: readonly AppliedObject[]
  /** Undefined: it was not waited for. */
  readonly isReady: boolean | undefined
}

function report({ output }: Flags, { namespace, plan, applied, isReady }: Result): void {
  const { choices, kept, login } = plan
  if (output === 'json') {
    const result = { namespace, host, choices, objects: applied, kept, login, ready: isReady }
    return void process.stdout.write(`${JSON.stringify(result)}\n`)
  }
  if (isReady === false) return
  const state = isReady === true ? 'runs' : 'is installed'
  process.stdout.write(
    [
      `Berth ${state} in namespace ${namespace}, as ${host} of each node`,
      ...(login === undefined ? [] : [`docker login ${host} --username ${login.username}`]),
      `kubectl berth push app:1.2 -n ${namespace}`,
      '',
    ].join('\n'),
  )
}

const examples = `
Berth's image is not published: build it and copy it to the nodes (npm run image -- --load nodes), or push it to a
registry that nodes can pull from, and name it with --image.

Examples:
  kubectl berth simple install -n registry --authorization --wait
  kubectl berth simple install -n registry --authorization htpasswd --authentication self-signed
  kubectl berth simple install -n registry --anonymous --size 200Gi --storage-class fast
  kubectl berth simple install -n registry --authorization --dry-run -o yaml > berth.yaml`
