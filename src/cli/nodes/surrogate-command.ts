import { Command, Option } from 'commander'
import type { Context } from '../login/registry-options.ts'
import { collect } from '../output/options.ts'
import { allAddresses } from '../process/all-addresses.ts'
import { UsageError } from '../process/errors.ts'
import { runSurrogate } from './surrogate.ts'

type Flags = {
  readonly registry: string
  readonly alias?: readonly string[]
  readonly secret?: string
  readonly secretName: string
  readonly tokenFile?: string
  readonly tokenRealm?: readonly string[]
  readonly redirect?: readonly string[]
  readonly certificate?: string
  readonly serverName?: string
  readonly prefix?: string
  readonly directory: string
  readonly port: string
  readonly adminPort: string
  readonly adminHost: string
  readonly interval: string
  readonly logLevel: string
}

/** `berth surrogate`, which the operator starts beside each Registry. */
export function surrogateCommand({ version }: Context): Command {
  return new Command('surrogate')
    .summary('hand requests on to a registry, with its TLS and its login')
    .description(
      'Hand requests of clients that come through the API server on to a registry, with its TLS and its login. The operator starts it in a pod beside each Registry.',
    )
    .requiredOption('--registry <url>', 'the registry: http:// or https://, host and port')
    .option('--alias <host>', 'another name of the registry in docker configurations', collect)
    .option('--secret <directory>', 'the mounted Secret with the login')
    .option('--secret-name <name>', 'its name, for messages', 'of the login')
    .option('--token-file <file>', 'file with a Bearer token, instead of a Secret')
    .option(
      '--token-realm <host>',
      'host of the token service, if it is in another domain',
      collect,
    )
    .option('--redirect <host>', 'host to which the registry redirects, in another domain', collect)
    .option('--certificate <file>', 'PEM file with certificate authorities to trust')
    .option('--server-name <name>', "name in the registry's certificate, if it is not its host")
    .option('--prefix <name>', 'in front of repositories that are named without it', '')
    .addOption(
      new Option('--directory <path>', 'where the socket of berth pipe is').default('/run/berth'),
    )
    .option('--port <port>', 'port for clients, on the loopback interface only', '30026')
    .option('--admin-port <port>', 'port of /livez, /readyz, /status and /metrics', '9026')
    .option('--admin-host <address>', 'address of that port', allAddresses())
    .option('--interval <seconds>', 'time between two checks of the registry', '15')
    .option('--log-level <level>', 'level of the log', 'info')
    .addHelpText('after', examples)
    .action(async (flags: Flags) => {
      if (flags.secret !== undefined && flags.tokenFile !== undefined)
        throw new UsageError('--secret and --token-file exclude each other')
      await runSurrogate({
        ...flags,
        version,
        registry: parseOrigin(flags.registry),
        aliases: flags.alias ?? [],
        tokenRealms: flags.tokenRealm ?? [],
        redirects: flags.redirect ?? [],
        port: parsePort('--port', flags.port),
        adminPort: parsePort('--admin-port', flags.adminPort),
        interval: 1000 * parseSeconds(flags.interval),
      })
    })
}

function parseOrigin(text: string): URL {
  const url = URL.parse(text)
  const isPlain = url !== null && /^https?:$/.test(url.protocol) && url.pathname === '/'
  if (!isPlain || url.username !== '' || url.search !== '')
    throw new UsageError(`--registry: expected http:// or https://, and HOST[:PORT]`)
  return url
}

function parsePort(flag: string, text: string): number {
  const port = Number(text)
  if (/^\d+$/.test(text) && port <= 65_535) return port
  throw new UsageError(`${flag}: expected a port`)
}

function parseSeconds(text: string): number {
  const seconds = Number(text)
  if (seconds > 0 && seconds <= 3600) return seconds
  throw new UsageError('--interval: expected seconds, at most 3600')
}

const examples = `
Example:
  # a registry with TLS of its own authority; a client reaches it at localhost:30026, or by berth pipe
  berth surrogate --registry https://registry.registry.svc:5000 --certificate /etc/berth/ca/ca.crt --secret /etc/berth/login`
