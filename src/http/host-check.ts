import { isIP } from 'node:net'
import { RegistryError } from '../oci/errors.ts'

/** Throws for a Host header that is not one of this registry's names. */
export type CheckHost = (host: string | undefined) => void

/**
 * Names that no public DNS zone can have: single labels, `localhost`, cluster names, and names reserved
 * for private networks (such as `host.docker.internal`).
 */
const privateName = /^[^.]+$|\.(localhost|svc|cluster\.local|internal)$/

/**
 * The danger: a web page lets its own host name resolve to 127.0.0.1 (DNS rebinding); for the browser
 * this registry then has the page's origin, and the page can read whatever anonymous users may read.
 * The Host header still has the page's name. So anonymous requests are accepted for IP addresses,
 * private names and `configured` names (`*.domain` too) only.
 * @throws RegistryError DENIED (421) that names the field.
 */
export function createHostCheck(configured: readonly string[]): CheckHost {
  const names = new Set(configured.map((name) => name.toLowerCase()))

  const isConfigured = (name: string): boolean =>
    names.has(name) || names.has(`*${name.slice(name.indexOf('.'))}`)

  return (host) => {
    // HTTP/1.0 requires no Host, and no browser uses it.
    if (host === undefined) return
    const name = hostnameOf(host)
    if (name !== undefined && (isIP(name) > 0 || privateName.test(name) || isConfigured(name)))
      return
    throw new RegistryError('DENIED', {
      status: 421,
      message: `anonymous requests to the host ${JSON.stringify(host.slice(0, 300))} are not accepted`,
      advice: 'log in, or add the host to "hosts" in the configuration of Berth',
    })
  }
}

/** In lower case, without port, brackets and trailing dot; undefined for an invalid host. */
function hostnameOf(host: string): string | undefined {
  const match = /^(?:\[([^\]]+)\]|([^:[\]/@\s]+))(?::\d*)?$/.exec(host)
  return (match?.[1] ?? match?.[2])?.toLowerCase().replace(/\.$/, '')
}
