/** Berth cannot start; the message says what to do. */
class StartError extends Error {
  override readonly name = 'StartError'
}

const advice: Readonly<Record<string, string>> = {
  EADDRINUSE:
    'the port is in use, perhaps by another Berth; choose other ports with --listen and --admin',
  EACCES: 'permission denied; choose another one, or change its permissions',
  EADDRNOTAVAIL: 'this machine does not have that address',
  EXDEV: 'tmp/ and docker/ below it must be on one file system; choose another directory',
  EROFS: 'the file system is read-only; choose another directory',
  ENOSPC: 'the disk is full',
  ENOENT: 'it does not exist',
  ENOTDIR: 'a part of the path is a file',
  // Also Node's error on a read-only file system.
  'mkdir ENOENT':
    'it cannot be created, for example on a read-only file system; choose another directory',
}

/**
 * Runs `work` for a field of the configuration.
 * @throws StartError that names the field, the failure and, for known failures, what to change.
 */
export async function attempt<Result>(
  field: string,
  work: () => Result | Promise<Result>,
): Promise<Result> {
  try {
    return await work()
  } catch (cause) {
    const message = cause instanceof Error ? cause.message : String(cause)
    const help = adviceFor(cause)
    throw new StartError(`${field}: ${message}${help === undefined ? '' : ` (${help})`}`, { cause })
  }
}

function adviceFor(cause: unknown): string | undefined {
  if (!(cause instanceof Error) || !('code' in cause)) return undefined
  const call = 'syscall' in cause ? `${cause.syscall} ${cause.code}` : ''
  return advice[call] ?? advice[String(cause.code)]
}
