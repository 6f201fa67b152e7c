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
}

/** Does what `field` of the configuration asks for; a failure is told in terms of the field. */
export async function explain<Result>(
  field: string,
  work: () => Result | Promise<Result>,
): Promise<Result> {
  try {
    return await work()
  } catch (cause) {
    const code = cause instanceof Error && 'code' in cause ? String(cause.code) : ''
    const message = cause instanceof Error ? cause.message : String(cause)
    throw new StartError(
      `${field}: ${message}${advice[code] === undefined ? '' : ` (${advice[code]})`}`,
      { cause },
    )
  }
}
