import dns from 'node:dns'
import type { TestContext } from 'node:test'

/** What the system says of names, in the test's own words. */
export interface Names {
  /** Addresses of a name, in the order of preference; or the code of an error, such as ENOTFOUND. */
  set(name: string, answer: readonly string[] | string): void
}

type Callback = (error: Error | null, addresses?: unknown, family?: number) => void

/**
 * The system's own answers cannot be changed without its administrator, so this stands in for
 * `dns.lookup`, which is how Node asks the system, until the end of the test.
 */
export function ownNames(t: TestContext): Names {
  const answers = new Map<string, readonly string[] | string>()
  const ask = dns.lookup
  const lookup = (name: string, options: dns.LookupOptions, callback: Callback): void => {
    const answer = answers.get(name)
    if (answer === undefined) return Reflect.apply(ask, dns, [name, options, callback])
    if (typeof answer === 'string')
      return callback(Object.assign(new Error(`getaddrinfo ${answer} ${name}`), { code: answer }))
    const addresses = answer.map((address) => ({ address, family: address.includes(':') ? 6 : 4 }))
    if (options.all) callback(null, addresses)
    else callback(null, addresses[0]?.address, addresses[0]?.family)
  }
  t.mock.method(dns, 'lookup', lookup)
  return { set: (name, answer) => void answers.set(name, answer) }
}
