import { lookup } from 'node:dns/promises'
import { isIP } from 'node:net'
import type { Rooted } from '../trust/trust.ts'

/** Addresses of a host, or of `HOST:PORT`, in the order in which a runtime on the node tries them. */
export type HostLookup = (host: string) => Promise<readonly string[]>

/** Uses the node's `/etc/hosts` first, then this process's resolver. */
export async function createHostLookup(rooted: Rooted): Promise<HostLookup> {
  const text = (await rooted.text('/etc/hosts')) ?? ''
  const entries = text.split('\n').flatMap((line) => {
    const [address = '', ...names] = line.replace(/#.*/, '').trim().split(/\s+/)
    return isIP(address) === 0 ? [] : names.map((name) => ({ address, name }))
  })

  return async (host) => {
    const name = host.replace(/:\d+$/, '').replace(/^\[|\]$/g, '')
    if (isIP(name) !== 0) return [name]
    const listed = entries.filter((entry) => entry.name === name).map(({ address }) => address)
    const found = listed.length > 0 ? listed : await resolve(name)
    // Go sorts IPv6 first (RFC 6724), independent of the order in the file.
    return [...new Set(found)].toSorted((a, b) => isIP(b) - isIP(a))
  }
}

async function resolve(name: string): Promise<readonly string[]> {
  const found = await lookup(name, { all: true }).catch(() => [])
  return found.map(({ address }) => address)
}
