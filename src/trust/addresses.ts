/** A registry as image names contain it: `HOST` or `HOST:PORT`. It is safe as one part of a path. */
export type RegistryHost = string & { readonly [brand]: 'RegistryHost' }
declare const brand: unique symbol

/** Where a node's runtime reaches Berth. */
export type Server = {
  /** `http://HOST:PORT` or `https://HOST:PORT`. */
  readonly origin: string
  readonly host: string
  readonly isTls: boolean
}

const host = /^(\[[0-9a-fA-F:]{2,45}\]|[a-zA-Z0-9]([a-zA-Z0-9.-]{0,252}[a-zA-Z0-9])?)(:\d{1,5})?$/

/** Undefined for a text that is not a registry host. */
export function parseRegistryHost(text: string): RegistryHost | undefined {
  return isRegistryHost(text) ? text : undefined
}

function isRegistryHost(text: string): text is RegistryHost {
  return host.test(text) && !text.includes('..') && URL.canParse(`http://${text}/`)
}

/** Undefined for a text that is not an origin. A default port is kept. */
export function parseServer(text: string): Server | undefined {
  const [, scheme, where = ''] = /^(https?):\/\/([^/]+)\/?$/.exec(text) ?? []
  if (scheme === undefined || !isRegistryHost(where)) return undefined
  return { origin: `${scheme}://${where}`, host: where, isTls: scheme === 'https' }
}

/** The names and addresses that docker and containerd treat as this machine. */
export function isLocalhost(address: string): boolean {
  return /^(localhost|127(\.\d{1,3}){3}|\[::1\])(:\d+)?$/.test(address)
}

/** The host that serves the images of `registry`; Docker Hub's has another name. */
export function originOf(registry: string): string {
  return registry === 'docker.io' ? 'https://registry-1.docker.io' : `https://${registry}`
}
