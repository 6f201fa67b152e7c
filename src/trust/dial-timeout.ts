import { join } from 'node:path'
import { isLocalhost, parseServer, type Server } from './addresses.ts'
import type { Rooted } from './rooted.ts'
import type { Runtime } from './runtimes.ts'
import { searchedDirectories } from './search-path.ts'
import { parseTable, tableOf } from './toml.ts'

/**
 * How long containerd waits for a connection to Berth. Without the key it waits 30 s for each request before
 * it tries the next host (containerd#10660); versions before 2.1 ignore the key. Linux retransmits a lost SYN
 * after one second, so 200 ms lose no connection that 1 s would get.
 */
export function dialTimeoutFor({ host }: Server, nodeAddresses: readonly string[]): string {
  return isOfNode(host, nodeAddresses) ? '200ms' : '1s'
}

/** A host in a `hosts.toml` that has no `dial_timeout`. */
export type SlowHost = { readonly file: string; readonly url: string; readonly recommended: string }

/** Hosts at addresses of the node: they are down whenever the pod that listens there is. */
export async function findSlowHosts(
  rooted: Rooted,
  runtime: Runtime,
  nodeAddresses: readonly string[],
): Promise<readonly SlowHost[]> {
  if (runtime.kind !== 'containerd' || runtime.path === undefined) return []
  const { path, version, config } = runtime
  const found: SlowHost[] = []
  for (const directory of searchedDirectories({ path, version, pullsByCri: config.pullsByCri }))
    for (const name of await rooted.list(directory)) {
      const file = join(directory, name, 'hosts.toml')
      const { host } = parseTable((await rooted.text(file)) ?? '') ?? {}
      for (const [url, settings] of Object.entries(tableOf(host))) {
        const server = parseServer(url)
        if (server === undefined || !isOfNode(server.host, nodeAddresses)) continue
        if (tableOf(settings)['dial_timeout'] !== undefined) continue
        found.push({ file, url, recommended: dialTimeoutFor(server, nodeAddresses) })
      }
    }
  return found
}

function isOfNode(host: string, nodeAddresses: readonly string[]): boolean {
  const address = host.replace(/:\d+$/, '').replace(/^\[|\]$/g, '')
  return isLocalhost(host) || nodeAddresses.includes(address)
}
