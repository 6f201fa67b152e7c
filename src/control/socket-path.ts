import { type FileHandle, open } from 'node:fs/promises'
import { join } from 'node:path'

const name = 'control.sock'

/** Where the socket is on a hosted volume. */
export function socketPath(root: string): string {
  return join(root, '_berth', name)
}

/** The directory of the socket, by a path that is short enough: a socket's has at most 107 bytes (unix(7)). */
export async function openSocketDirectory(root: string) {
  const handle: FileHandle = await open(join(root, '_berth'))
  return {
    /** The path of a file in the directory. */
    at: (file = name) => `/proc/self/fd/${handle.fd}/${file}`,
    close: () => handle.close(),
  }
}
