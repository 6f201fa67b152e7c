import { RegistryError } from '../oci/errors.ts'
import type { RepositoryName } from '../oci/reference.ts'

/** Insufficient Storage (RFC 4918). */
const insufficientStorage = 507
/** Seconds. */
const retryAfter = 5

const full = ['ENOSPC', 'EDQUOT']
const readOnly = ['EROFS', 'EACCES', 'EPERM']
/** Of the process or the machine: the disk is well, and a client may retry. */
const exhausted = ['EMFILE', 'ENFILE', 'ENOMEM']
const broken = ['EIO', 'ENOENT', 'ENOTDIR', 'EUCLEAN', 'EFBIG', 'ESTALE']

type Writable = { problem(): string | undefined }

/**
 * Runs an action that writes to the disk of hosted repositories, and translates its system errors.
 * @throws RegistryError UNAVAILABLE: nothing can be written, or the disk is full (status 507).
 */
export async function writing<Result>(
  store: Writable,
  name: RepositoryName,
  action: () => Promise<Result>,
): Promise<Result> {
  const problem = store.problem()
  if (problem !== undefined)
    throw new RegistryError('UNAVAILABLE', {
      message: `cannot write to ${name}: ${problem}`,
      retryAfter,
    })
  try {
    return await action()
  } catch (error) {
    throw translated(error, name)
  }
}

/** Whether the disk has failed: more bytes cannot be written. */
export function isDiskError(error: unknown): boolean {
  return [...full, ...readOnly, ...exhausted, ...broken].includes(systemCode(error))
}

function translated(error: unknown, name: RepositoryName): unknown {
  const code = systemCode(error)
  // The message of a system error has paths.
  const options = { cause: error, retryAfter }
  if (full.includes(code))
    return new RegistryError('UNAVAILABLE', {
      ...options,
      status: insufficientStorage,
      message: `cannot write to ${name}: the disk of the hosted repositories is full (${code})`,
      advice: 'delete images that are not needed, or enlarge the volume',
    })
  if (readOnly.includes(code))
    return new RegistryError('UNAVAILABLE', {
      ...options,
      message: `cannot write to ${name}: the directory of the hosted repositories is not writable (${code})`,
    })
  if (exhausted.includes(code))
    return new RegistryError('UNAVAILABLE', {
      ...options,
      message: `cannot write to ${name}: Berth is out of file descriptors or memory (${code})`,
    })
  if (broken.includes(code))
    return new RegistryError('UNAVAILABLE', {
      ...options,
      status: 500,
      message: `cannot write to ${name}: the disk of the hosted repositories has failed (${code})`,
    })
  return error
}

function systemCode(error: unknown): string {
  const isSystemError = error instanceof Error && 'code' in error && 'syscall' in error
  return isSystemError ? String(error.code) : ''
}
