import { hasLogin, type RegistryOptions } from './registry-login.ts'

/** Variables of Kubernetes Registry Spooler, which stay valid. */
export function spoolerVariable(name: string): string {
  return `REGISTRY_SPOOLER_${name}`
}

type Environment = Readonly<Record<string, string | undefined>>

/** The registry of images that are named without one. */
export function spoolerRegistry(environment: Environment): {
  readonly host: string
  /** Undefined: as for any registry, over https unless it is at localhost. */
  readonly plainHttp: boolean | undefined
} {
  const text = environment[spoolerVariable('REGISTRY')] || 'localhost:30026'
  return {
    host: text.replace(/^https?:\/\//, '').replace(/\/$/, ''),
    plainHttp: /^https?:/.test(text) ? text.startsWith('http:') : undefined,
  }
}

/**
 * In the container of a spooler, users have its login.
 *
 * The danger: other registries must not get it.
 */
export function withSpoolerRegistry(
  host: string,
  options: RegistryOptions,
  environment: Environment,
): RegistryOptions {
  const registry = spoolerRegistry(environment)
  if (host !== registry.host) return options
  const login = hasLogin(options) ? options : withSpoolerLogin(options, environment)
  const { plainHttp } = registry
  return withSpoolerCertificate(
    plainHttp === undefined ? login : { plainHttp, ...login },
    environment,
  )
}

/** With the authority that signed the registry's certificate. */
export function withSpoolerCertificate(
  options: RegistryOptions,
  environment: Environment,
): RegistryOptions {
  const certificate = options.certificate ?? environment[spoolerVariable('CERTIFICATE')]
  return certificate ? { ...options, certificate } : options
}

/**
 * The login of a spooler: from its options, else from its variables. A file is better than a variable,
 * because Berth reads it again when it changes.
 */
export function withSpoolerLogin(
  options: RegistryOptions,
  environment: Environment,
): RegistryOptions {
  const variable = (name: string) => environment[spoolerVariable(name)] || undefined
  if (hasLogin(options) && options.username === undefined) return options
  const username = options.username ?? variable('USERNAME')
  if (username === undefined) {
    const tokenFile = variable('TOKEN_FILE')
    return tokenFile === undefined
      ? { ...options, token: variable('TOKEN') }
      : { ...options, tokenFile }
  }
  if (options.passwordFile !== undefined || options.passwordStdin === true)
    return { ...options, username }
  const passwordFile = variable('PASSWORD_FILE')
  return passwordFile === undefined
    ? { ...options, username, password: variable('PASSWORD') }
    : { ...options, username, passwordFile }
}
