import type { Ambient } from '../config/config.ts'

/**
 * The forward proxy that stands between us and `url`, without user and password; undefined when none
 * does. For people: which way a request goes is undici's decision, which takes HTTP_PROXY for https as
 * well where there is no other.
 */
export function proxyFor(url: URL, { http, https, no }: Ambient['proxy']): string | undefined {
  const proxy = URL.parse((url.protocol === 'https:' ? (https ?? http) : http) ?? '')
  if (proxy === null || isExempt(url, no ?? '')) return undefined
  return proxy.host
}

function isExempt({ protocol, hostname, port }: URL, no: string): boolean {
  const host = hostname.replace(/^\[|\]$/g, '')
  const ownPort = port || (protocol === 'https:' ? '443' : '80')
  if (['localhost', '127.0.0.1', '::1'].includes(host)) return true
  return no
    .split(/[\s,]+/)
    .filter(Boolean)
    .some((entry) => {
      if (entry === '*') return true
      const [, name = '', only] = /^\*?\.?(.*?)(?::(\d+))?$/.exec(entry.toLowerCase()) ?? []
      return (
        (host === name || host.endsWith(`.${name}`)) && (only === undefined || only === ownPort)
      )
    })
}
