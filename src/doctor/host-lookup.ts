import { lookup } from 'node:dns/promises'
import { isIP } from 'node:net'
import type { Rooted } from '../trust/trust.ts'

/** Addresses of a host, or `HOST:PORT`, in the order in which a runtime on the node tries them. */
export type Names = (host: string) => Promise<readonly string[]>

/** By the node's own `/etc/hosts`, and by whom we ask for names where that says nothing. */
export async function readNames(rooted: Rooted): Promise<Names> {
  const text = (await rooted.text('/etc/hosts')) ?? ''
  const entries = text.split('\n').flatMap((line) => {
    const [address = '', ...names] = line.replace(/#.*/, '').trim().split(/\s+/)
    return isIP(address) === 0 ? [] : names.map((name) => ({ address, name }))
  })

  return async (host) => {
    const name = host.replace(/:\d+$/, '').replace(/^\[|\]$/g, '')
    if (isIP(name) !== 0) return [name]
    const listed = entries.filter((entry) => entry.name === name).map(({ address }) => address)
    const found = listed.length > 0 ? listed : await addressesOf(name)
    // Go's order (RFC 6724), whatever that of the file is.
    return [...new Set(found)].toSorted((a, b) => isIP(b) - isIP(a))
  }
}

async function addressesOf(name: string): Promise<readonly string[]> {
  const found = await lookup(name, { all: true }).catch(() => [])
  return found.map(({ address }) => address)
}
