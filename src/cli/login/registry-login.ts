import { access, constants } from 'node:fs/promises'
import { text } from 'node:stream/consumers'
import { type Command, Option } from 'commander'
import { parseRegistry } from '../../config/config.ts'
import { hasDockerLogin } from '../../credentials/credentials.ts'
import { UsageError } from '../process/errors.ts'
import { readPassword } from './secret-input.ts'

type Environment = Readonly<Record<string, string | undefined>>

/** How a command reaches a registry and logs in there. No secret is an argument: other users can see those. */
export type RegistryOptions = {
  readonly username?: string | undefined
  /** `-` is standard input, as in `tokenFile`. */
  readonly passwordFile?: string | undefined
  readonly passwordStdin?: boolean
  readonly tokenFile?: string | undefined
  /** From an environment variable; never from an argument. */
  readonly password?: string | undefined
  readonly token?: string | undefined
  readonly credentials?: string
  readonly certificate?: string
  readonly plainHttp?: boolean
}

export const credentialTypes = ['docker-config', 'google', 'aws', 'azure', 'anonymous'] as const

const names = [
  'username',
  'passwordFile',
  'passwordStdin',
  'tokenFile',
  'credentials',
  'certificate',
  'plainHttp',
] as const satisfies readonly (keyof RegistryOptions)[]

type Side = 'from' | 'to'

/** With a `side`, all options begin with it: for commands with two registries, and options for `both`. */
export function addRegistryOptions(command: Command, side?: Side | 'both'): Command {
  const isOne = side === 'from' || side === 'to'
  const flag = (name: string) => `--${isOne ? `${side}-` : ''}${name}`
  const place = isOne ? `<${side}>` : 'both sides'
  const [of, towards] = side === undefined ? ['', ''] : [` of ${place}`, ` for ${place}`]
  return command
    .option(`${isOne ? '' : '-u, '}${flag('username')} <name>`, `user name for the registry${of}`)
    .option(
      `${flag('password-file')} <file>`,
      `file with the password${towards}; -: standard input`,
    )
    .option(flag('password-stdin'), `read the password${towards} from standard input`)
    .option(
      `${flag('token-file')} <file>`,
      `file with a Bearer token that the registry${of} accepts; -: standard input`,
    )
    .addOption(
      new Option(
        `${flag('credentials')} <type>`,
        `where the credentials${towards} come from (default: docker login, else none)`,
      ).choices(credentialTypes),
    )
    .option(
      `${flag('certificate')} <file>`,
      `PEM file with certificate authorities to trust${towards}`,
    )
    .option(
      flag('plain-http'),
      `use http${towards}; the default is https, except for localhost without a certificate`,
    )
}

/** The options of one side, without its name. */
export function optionsOfSide(
  flags: Readonly<Record<string, unknown>>,
  side: Side,
): RegistryOptions {
  const found = names.map((name) => [
    name,
    flags[`${side}${name.charAt(0).toUpperCase()}${name.slice(1)}`],
  ])
  return Object.fromEntries(found.filter(([, value]) => value !== undefined)) as RegistryOptions
}

export function hasLogin(options: RegistryOptions): boolean {
  const { username, tokenFile, credentials } = options
  return [username, tokenFile, credentials].some((value) => value !== undefined)
}

/** Whether standard input is read: only one secret can come from there. */
export function readsStdin({ passwordFile, passwordStdin, tokenFile }: RegistryOptions): boolean {
  return passwordStdin === true || passwordFile === '-' || tokenFile === '-'
}

/** Credentials as fields of an upstream, or a token, which no upstream has. */
export type Login =
  | { readonly kind: 'fields'; readonly fields: object }
  | {
      readonly kind: 'token'
      readonly token?: string
      readonly tokenFile?: string
      readonly request?: () => Promise<string>
    }

/** @throws UsageError for options that do not fit together. */
export async function readLogin(
  host: string,
  options: RegistryOptions,
  environment: Environment,
): Promise<Login> {
  const { username, tokenFile, token, credentials, passwordFile } = options
  const ways = [username, tokenFile ?? token, credentials].filter((value) => value !== undefined)
  if (ways.length > 1)
    throw new UsageError('--username, --token-file and --credentials exclude each other')
  if (username !== undefined) return { kind: 'fields', fields: await passwordOf(username, options) }
  if (passwordFile !== undefined || options.passwordStdin === true)
    throw new UsageError('a password needs --username')
  if (tokenFile === '-') return { kind: 'token', token: await readToken() }
  if (tokenFile !== undefined) return { kind: 'token', tokenFile }
  if (token !== undefined) return { kind: 'token', token }
  return { kind: 'fields', fields: { type: credentials ?? (await defaultType(host, environment)) } }
}

/**
 * For commands: a file that is missing will not appear while they run, and requests would be retried.
 * @throws UsageError
 */
export async function assertReadableSecrets(options: RegistryOptions): Promise<void> {
  const files = {
    '--password-file': options.passwordFile,
    '--token-file': options.tokenFile,
  }
  for (const [flag, file] of Object.entries(files)) {
    if (file === undefined || file === '-') continue
    try {
      await access(file, constants.R_OK)
    } catch (cause) {
      const message = cause instanceof Error ? cause.message : String(cause)
      throw new UsageError(`cannot read the file of ${flag}: ${message}`, { cause })
    }
  }
}

async function passwordOf(username: string, options: RegistryOptions): Promise<object> {
  const { password, passwordFile } = options
  const login = { type: 'static', username }
  if (password !== undefined) return { ...login, password }
  if (passwordFile !== undefined && passwordFile !== '-') return { ...login, passwordFile }
  if (!readsStdin(options) && !process.stdin.isTTY)
    throw new UsageError('--username needs --password-file or --password-stdin')
  return { ...login, password: await readPassword(`Password of ${username}`) }
}

function readToken(): Promise<string> {
  return process.stdin.isTTY ? readPassword('Token') : text(process.stdin)
}

/** As docker and crane do: those of `docker login` if it knows the registry, else none. */
async function defaultType(
  host: string,
  environment: Environment,
): Promise<(typeof credentialTypes)[number]> {
  const { dockerConfig } = parseRegistry({ url: 'http://localhost' }, environment).ambient
  return (await hasDockerLogin({ file: dockerConfig, host })) ? 'docker-config' : 'anonymous'
}
