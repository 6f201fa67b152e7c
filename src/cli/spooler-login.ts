import { hasLogin, type RegistryOptions } from './registry-login.ts'

/** Variables of Kubernetes Registry Spooler, which stay valid. */
export function spoolerVariable(name: string): string {
  return `REGISTRY_SPOOLER_${name}`
}

/**
 * The login of a spooler: from its options, else from its variables. A file is better than a variable,
 * because Berth reads it again when it changes.
 */
export function withSpoolerLogin(
  options: RegistryOptions,
  environment: Readonly<Record<string, string | undefined>>,
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
