import { Command, Option } from 'commander'
import { readRegularFile } from '../../input/input.ts'
import {
  applyAll,
  authorityKey,
  authorityName,
  loginName,
  ownParts,
  registryObjects,
  waitForRegistry,
} from '../../install/install.ts'
import { isRegistryHost } from '../../oci/registry-host.ts'
import type { Context } from '../login/registry-options.ts'
import { checkUser, readPassword } from '../login/secret-input.ts'
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
  readonly host?: string
  readonly service?: string
  readonly serviceNamespace?: string
  readonly port?: string
  readonly provider?: 'minikube' | 'openshift' | 'simple'
  readonly imageHost?: string
  readonly plainHttp?: boolean
  readonly caFile?: string
  readonly caSecret?: string
  readonly caConfigMap?: string
  readonly caKey?: string
  readonly serverName?: string
  readonly loginSecret?: string
  readonly username?: string
  readonly passwordFile?: string
  readonly spool: boolean
  readonly spoolSize?: string
  /** Names that Reposure gave to options. */
  readonly authenticationSecret?: string
  readonly authenticationSecretDataKey?: string
  readonly authorizationSecret?: string
}

const defaultServicePort = '5000'

export function registryCreateCommand(context: Context): Command {
  const hidden = (flags: string) => new Option(flags).hideHelp()
  const command = new Command('create')
    .summary('create a Registry, or change one')
    .description(
      'Create a Registry: where a registry is, and how to log in. The operator starts a surrogate beside it, through which `kubectl berth push --registry NAME` and the others reach it. The password is read from a file, from standard input or from a prompt, and stored in a Secret.',
    )
    .argument('<name>', 'name of the Registry')
    .option('--host <host>', 'host of the registry, with its port unless that is 443 (80)')
    .option('--service <name>', 'Service of the registry: NAME or NAMESPACE/NAME')
    .option('--service-namespace <name>', 'namespace of the Service')
    .option('--port <port>', `port of the Service (default: ${defaultServicePort})`)
    .addOption(
      new Option('--provider <provider>', 'a registry that needs no address').choices([
        'minikube',
        'openshift',
        'simple',
      ]),
    )
    .option('--image-host <host>', 'host of the registry in image names of pods, if it differs')
    .option('--plain-http', 'the registry has no TLS')
    .option('--ca-file <file>', 'PEM file with the certificate authorities, stored in a ConfigMap')
    .option('--ca-secret <name>', 'a Secret with the certificate authorities')
    .option('--ca-config-map <name>', 'a ConfigMap with the certificate authorities')
    .option('--ca-key <key>', `key in --ca-secret or --ca-config-map (default: ${authorityKey})`)
    .option('--server-name <name>', "name in the registry's certificate, if it differs")
    .option('--login-secret <name>', 'a Secret with the login')
    .option('-u, --username <name>', 'user of the registry; its password goes into a Secret')
    .option('--password-file <file>', 'file with the password (default: standard input)')
    .option('--no-spool', 'a surrogate without a spool')
    .option('--spool-size <quantity>', "size of the surrogate's spool (default: 10Gi)")
    .addOption(hidden('--authentication-secret <name>'))
    .addOption(hidden('--authentication-secret-data-key <key>'))
    .addOption(hidden('--authorization-secret <name>'))
  return addInstallOptions(command, 'the registry answers, and accepts the login')
    .addHelpText('after', examples)
    .action((name: string, flags: Flags) =>
      untilInterrupted((signal) => create(context, { name, flags, signal })),
    )
}

type Creation = { readonly name: string; readonly flags: Flags; readonly signal: AbortSignal }

async function create(context: Context, { name, flags, signal }: Creation): Promise<void> {
  if (flags.output === 'yaml' && flags.dryRun !== true)
    throw new UsageError('-o yaml prints the objects: add --dry-run, which applies nothing')
  const timeout = timeoutOf(flags)
  const step = stepsFor(flags)
  const parts = await partsOf(name, flags)
  if (flags.dryRun === true) {
    const objects = registryObjects({ ...parts, namespace: flags.namespace ?? 'default' })
    return void process.stdout.write(formatObjects(flags, objects))
  }
  const { objects: cluster, namespace } = await openCluster(flags, context, signal)
  const objects = registryObjects({ ...parts, namespace })
  const applied = await applyAll(cluster, {
    objects,
    force: flags.forceConflicts,
    onApplied: (object) => step(describeApplied(object)),
  })
  await ownParts(cluster, { namespace, name }, objects)
  if (flags.wait === true) {
    const onState = (state: string) => step(`waiting: ${state}`)
    await waitForRegistry(cluster, { namespace, name }, { timeout, onState, signal })
  }
  const ready = flags.wait === true ? true : undefined
  process.stdout.write(
    flags.output === 'json'
      ? `${JSON.stringify({ namespace, name, objects: applied, ready })}\n`
      : `Registry ${name} ${ready ? 'is ready' : 'is created'} in namespace ${namespace}\nkubectl berth push app:1.2 -n ${namespace} --registry ${name}\n`,
  )
}

async function partsOf(name: string, flags: Flags) {
  const { username, passwordFile } = flags
  if (passwordFile !== undefined && username === undefined)
    throw new UsageError('--password-file needs --username')
  const spec = specOf(name, flags)
  return {
    name,
    spec,
    login: username === undefined ? undefined : await readLogin(username, passwordFile),
    authorities: flags.caFile === undefined ? undefined : await readAuthorities(flags.caFile),
  }
}

/** @throws UsageError for options that exclude each other. */
function specOf(name: string, flags: Flags): object {
  const { imageHost, spool, spoolSize } = flags
  return {
    ...placeOf(flags),
    ...(imageHost !== undefined && { host: hostOf('--image-host', imageHost) }),
    ...tlsOf(name, flags),
    ...loginOf(name, flags),
    ...((!spool || spoolSize !== undefined) && {
      spool: { enabled: spool, ...(spoolSize !== undefined && { sizeLimit: spoolSize }) },
    }),
  }
}

function placeOf({ host, service, serviceNamespace, port, provider }: Flags): object {
  const given = [host, service, provider].filter((one) => one !== undefined)
  if (given.length !== 1)
    throw new UsageError('say where the registry is: --host, --service or --provider, one of them')
  if (service === undefined && (port !== undefined || serviceNamespace !== undefined))
    throw new UsageError('--port and --service-namespace belong to --service')
  if (host !== undefined) return { direct: { host: hostOf('--host', host) } }
  if (provider !== undefined) return { provider }
  const [first = '', second] = (service ?? '').split('/')
  const [namespace, named] = second === undefined ? [serviceNamespace, first] : [first, second]
  if (second !== undefined && serviceNamespace !== undefined)
    throw new UsageError('the namespace of the Service is given twice')
  return {
    indirect: { ...(namespace !== undefined && { namespace }), service: named, port: portOf(port) },
  }
}

function tlsOf(name: string, flags: Flags): object {
  const { plainHttp, caFile, caConfigMap, serverName } = flags
  const caSecret = flags.caSecret ?? flags.authenticationSecret
  const key = flags.caKey ?? flags.authenticationSecretDataKey
  const sources = [caFile, caSecret, caConfigMap].filter((one) => one !== undefined)
  if (sources.length > 1)
    throw new UsageError('--ca-file, --ca-secret and --ca-config-map exclude each other')
  if (plainHttp === true && (sources.length > 0 || serverName !== undefined))
    throw new UsageError('--plain-http: a registry without TLS has no certificate to verify')
  if (key !== undefined && caSecret === undefined && caConfigMap === undefined)
    throw new UsageError('--ca-key belongs to --ca-secret or --ca-config-map')
  const withKey = (object: string) => ({ name: object, ...(key !== undefined && { key }) })
  const tls = {
    ...(plainHttp === true && { enabled: false }),
    ...(caFile !== undefined && { caConfigMapRef: { name: authorityName(name) } }),
    ...(caSecret !== undefined && { caSecretRef: withKey(caSecret) }),
    ...(caConfigMap !== undefined && { caConfigMapRef: withKey(caConfigMap) }),
    ...(serverName !== undefined && { serverName }),
  }
  return Object.keys(tls).length === 0 ? {} : { tls }
}

function loginOf(name: string, flags: Flags): object {
  const secret = flags.loginSecret ?? flags.authorizationSecret
  if (secret !== undefined && flags.username !== undefined)
    throw new UsageError('--login-secret and --username exclude each other')
  const used = flags.username === undefined ? secret : loginName(name)
  return used === undefined ? {} : { credentials: { secretRef: { name: used } } }
}

function hostOf(option: string, host: string): string {
  if (/^https?:\/\//.test(host))
    throw new UsageError(`${option} ${host}: expected HOST or HOST:PORT, without a scheme`)
  if (!isRegistryHost(host)) throw new UsageError(`${option} ${host}: expected HOST or HOST:PORT`)
  return host
}

function portOf(port = defaultServicePort): number {
  const number = Number(port)
  if (!/^\d+$/.test(port) || number < 1 || number > 65_535)
    throw new UsageError(`--port ${port}: expected a number from 1 to 65535`)
  return number
}

async function readLogin(username: string, file: string | undefined) {
  checkUser(username)
  if (file === undefined)
    return { username, password: await readPassword(`Password of ${username}`) }
  const password = (await readRegularFile(file)).replace(/\r?\n$/, '')
  if (password === '') throw new UsageError(`--password-file ${file}: the file is empty`)
  return { username, password }
}

async function readAuthorities(file: string): Promise<string> {
  const text = await readRegularFile(file)
  if (!text.includes('-----BEGIN CERTIFICATE-----'))
    throw new UsageError(`--ca-file ${file}: expected certificates in PEM`)
  // A key that is in the same file belongs to nobody else.
  const blocks = text.match(/-----BEGIN CERTIFICATE-----[^-]+-----END CERTIFICATE-----/g) ?? []
  return `${blocks.join('\n')}\n`
}

const examples = `
Secrets for --login-secret are of type kubernetes.io/dockerconfigjson or kubernetes.io/basic-auth, or have the keys
username and password, or token.

Examples:
  kubectl berth registry create default --provider minikube --wait
  kubectl berth registry create team --service registry/registry --port 5000 --ca-secret registry-ca --login-secret registry-login
  kubectl berth registry create team --host registry.example.com -u ci --password-file password.txt --wait --timeout 2m`
