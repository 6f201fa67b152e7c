import { isIP } from 'node:net'
import { RegistryError } from '../oci/errors.ts'

/** Throws for a Host header that does not name us. */
export type CheckHost = (host: string | undefined) => void

/**
 * Names that nobody on the Internet can have: those of one label, of the own machine, of a cluster, and
 * what is reserved for private networks (such as `host.docker.internal`).
 */
const privateName = /^[^.]+$|\.(localhost|svc|cluster\.local|internal)$/

/**
 * The danger: a page in a browser has its own name resolve to 127.0.0.1 (DNS rebinding), and from then on
 * reads from us, as the same origin, whatever needs no login. Its name is what gives it away: such
 * requests are answered for addresses, private names, and `configured` ones, `*.domain` among them.
 * @throws RegistryError DENIED (421) that names the field.
 */
export function createHostCheck(configured: readonly string[]): CheckHost {
  const names = new Set(configured.map((name) => name.toLowerCase()))

  const isConfigured = (name: string): boolean =>
    names.has(name) || names.has(`*${name.slice(name.indexOf('.'))}`)

  return (host) => {
    // HTTP/1.0 needs none, and no browser speaks it.
    if (host === undefined) return
    const name = hostnameOf(host)
    if (name !== undefined && (isIP(name) > 0 || privateName.test(name) || isConfigured(name)))
      return
    throw new RegistryError('DENIED', {
      status: 421,
      message: `without a login, this registry does not answer as ${JSON.stringify(host.slice(0, 300))}; add the name to "hosts" in its configuration`,
    })
  }
}

/** In lower case, without port, brackets and the root's dot; undefined for what is no host. */
function hostnameOf(host: string): string | undefined {
  const match = /^(?:\[([^\]]+)\]|([^:[\]/@\s]+))(?::\d*)?$/.exec(host)
  return (match?.[1] ?? match?.[2])?.toLowerCase().replace(/\.$/, '')
}
