import { existsSync, mkdirSync, statSync } from 'node:fs'
import { enableCompileCache } from 'node:module'
import { homedir } from 'node:os'
import { join } from 'node:path'

/** Programs run them for each pull or connection, kubelets as root: they load little, and write nothing. */
const short = ['docker-credential', 'kubelet-credential-provider', 'pipe']
/** As they are without `berth`, by the name of the file. */
const shortFiles = /(?:docker-credential-berth|berth-credential-provider)$/

/**
 * Lets Node keep compiled code on disk, which halves the CPU time of a start: for the server in Node's own place,
 * for other commands in the user's cache directory, if there is one. To be called before other modules are imported.
 */
export function useCompileCache(
  [, file = '', command = '']: readonly string[],
  { XDG_CACHE_HOME: caches }: Readonly<Record<string, string | undefined>>,
): void {
  // Node's own place is below /tmp, where another user could create it first.
  if (command === 'serve') enableCompileCache()
  else if (!short.includes(command) && !shortFiles.test(file))
    useDirectory(caches || join(homedir(), '.cache'))
}

/** `caches` has to exist: the home of a daemon, such as a volume that is its home too, stays as it is. */
function useDirectory(caches: string): void {
  const directory = join(caches, 'berth', 'compiled')
  try {
    if (!existsSync(caches)) return
    mkdirSync(directory, { recursive: true, mode: 0o700 })
    const { uid, mode } = statSync(directory)
    const isOurs = process.getuid === undefined || (uid === process.getuid() && (mode & 0o22) === 0)
    if (isOurs) enableCompileCache(directory)
  } catch {
    // There is no home, or it cannot be written to: the command starts without.
  }
}
