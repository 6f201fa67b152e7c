/** Berth cannot start, and the message says what to do. */
class StartError extends Error {
  override readonly name = 'StartError'
}

const advice: Readonly<Record<string, string>> = {
  EADDRINUSE: 'the port is taken, perhaps by another Berth; choose others by --listen and --admin',
  EACCES: 'permission is denied; choose another one, or change who may use it',
  EADDRNOTAVAIL: 'this machine has no such address',
  EXDEV: 'tmp/ and docker/ below it have to be on one file system; choose another directory',
  EROFS: 'the file system is read-only; choose another directory',
  ENOSPC: 'the disk is full',
  ENOENT: 'it does not exist',
  ENOTDIR: 'part of the path is a file',
  // Node's answer on a read-only file system as well.
  'mkdir ENOENT': 'it cannot be made, as on a read-only file system; choose another directory',
}

/** Does what `field` of the configuration asks for; a failure is told in terms of the field. */
export async function explain<Result>(
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
