import { randomUUID } from 'node:crypto'
import { once } from 'node:events'
import { link, open, readdir, rename, rm } from 'node:fs/promises'
import { connect, createServer, type Server } from 'node:net'
import { hostname } from 'node:os'
import { join } from 'node:path'
import { errnoOf, isMissing } from './files.ts'

/** How long a holder may take to identify itself, in milliseconds. */
const answerTimeout = 2000
/** The file system has no sockets, or cannot link them; or it is full. */
const noSocketCodes = ['EPERM', 'EOPNOTSUPP', 'ENOTSUP', 'ENOSYS', 'EINVAL', 'ENOSPC', 'EDQUOT']
/** Connection errors of a socket without a listener, or of a path that is not a socket. */
const noListenerCodes = ['ECONNREFUSED', 'ENOENT', 'ENOTSOCK']
const maxAttempts = 5

export interface Lock {
  release(): Promise<void>
}

/**
 * Keeps a second process from using a directory. The lock is a Unix socket in the directory, on
 * which the holder listens and identifies itself: the kernel refuses connections to the socket of a
 * killed process, whatever process id or host name the next one has, so that a kill leaves no stale
 * lock. Processes on other machines are not detected.
 *
 * 1. Listen on a socket with a unique name.
 * 2. Link it to the name of the lock, which fails when the lock exists.
 * 3. If the holder of the lock answers, fail. If there is no answer, rename the lock away and
 *    retry.
 *
 * Undefined when the file system has no sockets, or no space for one.
 * @throws Error that names the holder of the directory.
 */
export async function acquireLock(directory: string): Promise<Lock | undefined> {
  const handle = await open(directory)
  // A socket's path has at most 107 bytes (unix(7)).
  const at = (name: string) => `/proc/self/fd/${handle.fd}/${name}`
  const own = `lock-${randomUUID()}`
  const server = createServer((socket) => {
    socket.on('error', () => {})
    socket.end(`process ${process.pid} on ${hostname()}`)
  }).unref()
  try {
    server.listen({ path: at(own), readableAll: true, writableAll: true })
    await once(server, 'listening')
    await take(directory, own, at)
  } catch (error) {
    await rm(join(directory, own), { force: true })
    await close(server)
    await handle.close()
    if (noSocketCodes.includes(errnoOf(error))) return undefined
    throw withDirectory(error, directory)
  }
  await removeLeftovers(directory)
  return {
    release: async () => {
      // On a disk that failed or is read-only it stays. Without a listener, it is no lock.
      await rm(lockPath(directory), { force: true }).catch(() => {})
      await close(server)
      await handle.close()
    },
  }
}

/** The process that has the lock of a directory. Writes nothing. */
export async function lockHolder(directory: string): Promise<string | undefined> {
  const handle = await open(directory).catch((error: unknown) => {
    if (!isMissing(error)) throw error
  })
  if (handle === undefined) return undefined
  try {
    return await holderOf(`/proc/self/fd/${handle.fd}/lock`)
  } finally {
    await handle.close()
  }
}

/** A system error names the socket by its descriptor, which means nothing to users. */
function withDirectory(cause: unknown, directory: string): unknown {
  const code = errnoOf(cause)
  if (code === '') return cause
  return Object.assign(new Error(`${code}: cannot create a lock in ${directory}`, { cause }), {
    code,
  })
}

export function lockPath(directory: string): string {
  return join(directory, 'lock')
}

/**
 * Removes the unique socket name of this process, and those of processes that were killed before
 * they had the lock.
 */
async function removeLeftovers(directory: string): Promise<void> {
  for (const name of await readdir(directory))
    if (name.startsWith('lock-')) await rm(join(directory, name), { force: true })
}

async function take(
  directory: string,
  own: string,
  at: (name: string) => string,
  attempts = maxAttempts,
): Promise<void> {
  try {
    return await link(join(directory, own), lockPath(directory))
  } catch (error) {
    // ENOENT: the process that acquired the lock has removed the socket of this one.
    if (!['EEXIST', 'ENOENT'].includes(errnoOf(error)) || attempts === 1) throw error
  }
  await assertFree(directory, at('lock'))
  // The danger: another process may have acquired the lock just now. The renamed socket is checked
  // again.
  const away = `${own}-away`
  await rename(lockPath(directory), join(directory, away)).catch(() => {})
  try {
    await assertFree(directory, at(away))
  } catch (error) {
    await link(join(directory, away), lockPath(directory)).catch(() => {})
    throw error
  } finally {
    await rm(join(directory, away), { force: true })
  }
  await take(directory, own, at, attempts - 1)
}

async function assertFree(directory: string, path: string): Promise<void> {
  const holder = await holderOf(path)
  if (holder === undefined) return
  throw new Error(
    `${directory} is used by another Berth (${holder}); stop it, or give each its own directory`,
  )
}

/** The process that listens on a socket; undefined when there is no listener. */
async function holderOf(path: string): Promise<string | undefined> {
  const socket = connect({ path })
  socket.setEncoding('utf8').setTimeout(answerTimeout, () => socket.destroy())
  let text = ''
  socket.on('data', (part: string) => {
    text = `${text}${part}`.slice(0, 200)
  })
  try {
    await once(socket, 'connect')
    await once(socket, 'close')
    return text || 'an unknown process'
  } catch (error) {
    return noListenerCodes.includes(errnoOf(error)) ? undefined : errnoOf(error)
  } finally {
    socket.destroy()
  }
}

function close(server: Server): Promise<void> {
  return new Promise((resolve) => server.close(() => resolve()))
}
