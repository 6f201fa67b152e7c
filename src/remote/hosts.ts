import { LRUCache } from 'lru-cache'
import { limitEntries } from '../memory/memory.ts'
import { type Breaker, createBreaker } from '../outbound/outbound.ts'
import { isConnectFailure } from './faults.ts'
import type { Transport } from './transport.ts'

/** Hosts that redirects and token realms name. */
const maxHosts = 1000

/** One breaker per host, so that a redirect target that is down does not block its registry. */
export interface Hosts {
  breaker(origin: string): Breaker
}

export function createHosts(onChange: (origin: string, open: boolean) => void): Hosts {
  const breakers = new LRUCache<string, Breaker>({ ...limitEntries(maxHosts) })
  return {
    breaker: (origin) => {
      const known = breakers.get(origin)
      if (known !== undefined) return known
      const made = createBreaker({ origin, onChange: (open) => onChange(origin, open) })
      breakers.set(origin, made)
      return made
    },
  }
}

/** The same transport, which does not connect to a host whose breaker is open. */
export function withBreakers(transport: Transport, hosts: Hosts): Transport {
  return {
    ...transport,
    send: async (request) => {
      const breaker = hosts.breaker(request.url.origin)
      breaker.enter()
      try {
        const answer = await transport.send(request)
        breaker.succeeded()
        return answer
      } catch (error) {
        if (request.signal?.aborted) breaker.abandoned()
        else if (isConnectFailure(error)) breaker.failed(error.message)
        else breaker.succeeded()
        throw error
      }
    },
  }
}
