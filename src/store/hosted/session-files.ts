import { readFile, rm, rmdir, stat, unlink } from 'node:fs/promises'
import { join } from 'node:path'
import type { Algorithm } from '../../oci/digest.ts'
import { isMissing, makeDirectory } from '../files.ts'
import { writeNewFile } from './small-file.ts'

/** What an upload session is, whatever it has received. */
export type Session = {
  /** Empty if it is unknown. */
  readonly writer: string
  readonly algorithm: Algorithm
  /** Milliseconds since the epoch. */
  readonly startedAt: number
}

/** The name of the file with the bytes, as in Distribution. */
export const dataName = 'data'
const startedAtName = 'startedat'
const sessionName = 'session'

/**
 * Writes the directory of a session: `startedat` as Distribution does, which removes sessions by
 * it, and `session` for the rest. Nothing is synced: a session that is lost is started again.
 */
export async function writeSession(directory: string, session: Session): Promise<void> {
  const { writer, algorithm, startedAt } = session
  await makeDirectory(directory)
  const seconds = new Date(startedAt).toISOString().replace(/\.\d+/, '')
  const text = JSON.stringify({ writer, algorithm })
  await Promise.all([
    writeNewFile({ path: join(directory, startedAtName), bytes: Buffer.from(seconds) }),
    writeNewFile({ path: join(directory, sessionName), bytes: Buffer.from(text) }),
  ])
}

/** Undefined when there is no such session. */
export async function readSession(directory: string): Promise<Session | undefined> {
  const created = await stat(directory).catch(undefinedIfMissing)
  if (!created?.isDirectory()) return undefined
  const [startedAt, session] = await Promise.all(
    [startedAtName, sessionName].map((name) => readText(join(directory, name))),
  )
  const at = Date.parse(startedAt ?? '')
  return {
    ...parseSession(session),
    startedAt: Number.isFinite(at) ? at : created.mtimeMs,
  }
}

/** Bytes of a session, and the time of the last write in milliseconds since the epoch. */
export async function dataOf(
  directory: string,
): Promise<{ readonly size: number; readonly lastWriteAt: number } | undefined> {
  const file = await stat(join(directory, dataName)).catch(undefinedIfMissing)
  return file && { size: file.size, lastWriteAt: file.mtimeMs }
}

/** Damaged by a power loss, or Distribution's own: nobody may continue it. */
function parseSession(text: string | undefined): Pick<Session, 'writer' | 'algorithm'> {
  const unknown = { writer: '', algorithm: 'sha256' } as const
  try {
    const value: unknown = JSON.parse(text ?? '')
    if (typeof value !== 'object' || value === null || !('writer' in value)) return unknown
    if (typeof value.writer !== 'string') return unknown
    const isLong = 'algorithm' in value && value.algorithm === 'sha512'
    return { writer: value.writer, algorithm: isLong ? 'sha512' : 'sha256' }
  } catch {
    return unknown
  }
}

async function readText(path: string): Promise<string | undefined> {
  return readFile(path, 'utf8').catch(undefinedIfMissing)
}

/** What remains after a failure is removed when sessions expire. */
export async function removeSession(directory: string, hasData: boolean): Promise<void> {
  const names = [startedAtName, sessionName, ...(hasData ? [dataName] : [])]
  try {
    await Promise.all(names.map((name) => unlink(join(directory, name)).catch(undefinedIfMissing)))
    await rmdir(directory).catch(undefinedIfMissing)
  } catch {
    // Distribution keeps states of its hash there.
    await rm(directory, { recursive: true, force: true }).catch(() => {})
  }
}

function undefinedIfMissing(error: unknown): undefined {
  if (!isMissing(error)) throw error
  return undefined
}
