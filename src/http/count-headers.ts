import type { IncomingMessage } from 'node:http'

/**
 * How often a request has a header. Of several, Node keeps the first one and joins or discards others; a proxy in
 * front may do something else. `name` in lower case.
 */
export function countHeaders({ rawHeaders }: IncomingMessage, name: string): number {
  let count = 0
  for (let at = 0; at < rawHeaders.length; at += 2) {
    const header = rawHeaders[at] ?? ''
    if (header.length === name.length && header.toLowerCase() === name) count += 1
  }
  return count
}
