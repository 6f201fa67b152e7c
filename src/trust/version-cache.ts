import { readVersion } from './containerd-version.ts'

/** How long a runtime's version is cached, in milliseconds. */
const versionTtl = 60_000

/**
 * Reads the version of the containerd at a socket. Without an answer, the last known version is
 * returned: a socket that is mounted by itself is stale once its containerd has restarted.
 */
export function createVersionCache(): (socket: string) => Promise<string | undefined> {
  const versions = new Map<string, { readonly version: string; readonly readAt: number }>()
  return async (socket) => {
    const known = versions.get(socket)
    if (known !== undefined && performance.now() - known.readAt < versionTtl) return known.version
    const version = await readVersion(socket)
    if (version === undefined) return known?.version
    versions.set(socket, { version, readAt: performance.now() })
    return version
  }
}
