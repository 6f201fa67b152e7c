import { createHash, randomUUID } from 'node:crypto'
import { lstat, mkdir, rm, statfs, writeFile } from 'node:fs/promises'
import { dirname, join } from 'node:path'
import { deleteDatabaseFile, inMemory, type Places } from './database/database.ts'

/**
 * Numbers of file systems in statfs(2) that are shared with other machines, or that a program
 * implements: their locks and their memory maps cannot be relied on (sqlite.org/howtocorrupt.html).
 */
const networkFileSystems: readonly number[] = [
  0x6969, // NFS
  0xff534d42, // CIFS
  0xfe534d42, // SMB2
  0x517b, // SMB
  0x65735546, // FUSE, virtiofs
  0x01021997, // 9p
  0x00c36400, // Ceph
  0x5346414f, // AFS
  0x73757245, // Coda
  0x0bd00bd0, // Lustre
  0x01161970, // GFS2
  0x7461636f, // OCFS2
  0x47504653, // GPFS
  0x19830326, // BeeGFS
  0x786f4256, // VirtualBox
  0xbacbacbc, // VMware
]

export type PlacesOptions = {
  /** On the hosted volume; created in a directory that exists. */
  readonly directory: string
  /** For the database, in this order, if the volume cannot have it; created likewise. */
  readonly fallbacks: readonly string[]
  /** Default: true. False: nothing may be written to the volume, although it is possible. */
  readonly ownsVolume?: () => Promise<boolean>
  /** The number of a file system in statfs(2). */
  readonly fileSystemOf?: (directory: string) => Promise<number>
}

/** Where database and journal are: in memory, if nothing else is possible. */
export async function choosePlaces(options: PlacesOptions): Promise<Places> {
  const { directory, fallbacks, ownsVolume = async () => true } = options
  const { fileSystemOf = fileSystemIn } = options
  const isWritable = (await ownsVolume()) && (await canWrite(directory))
  const kept = isWritable
    ? { journal: join(directory, 'journal'), cleanMark: join(directory, 'clean') }
    : { journal: undefined, cleanMark: undefined }
  const isSuitable = async (place: string): Promise<boolean> =>
    (await canWrite(place)) && !networkFileSystems.includes((await fileSystemOf(place)) >>> 0)

  const others = fallbacks.map((place) => join(place, nameFor(directory)))
  if (isWritable && (await isSuitable(directory))) {
    for (const database of others) deleteDatabaseFile(database)
    return { ...kept, database: join(directory, 'index.db') }
  }
  for (const database of others) {
    const place = dirname(database)
    if ((await isSuitable(place)) && (await isOwn(place))) return { ...kept, database }
  }
  return { ...kept, database: inMemory }
}

/**
 * The danger: in a directory for temporary files, another user may have made it before, and would decide
 * what is referenced. A group may write to it: the fsGroup of a pod.
 */
async function isOwn(directory: string): Promise<boolean> {
  const found = await lstat(directory)
  return found.isDirectory() && found.uid === process.getuid?.() && (found.mode & 0o002) === 0
}

/** Several volumes may have the same fallback. */
function nameFor(directory: string): string {
  return `index-${createHash('sha256').update(directory).digest('hex').slice(0, 12)}.db`
}

/** After an error of the disk, access(2) may allow what write(2) does not. */
async function canWrite(directory: string): Promise<boolean> {
  const probe = join(directory, `probe-${randomUUID()}`)
  try {
    await makeDirectory(directory)
    await writeFile(probe, '', { flag: 'wx' })
    await rm(probe)
    return true
  } catch {
    return false
  }
}

/**
 * The directory above must exist: a volume that was unmounted, or that was deleted as a whole, is
 * not made again.
 */
async function makeDirectory(directory: string): Promise<void> {
  try {
    await mkdir(directory, { mode: 0o700 })
  } catch (error) {
    if (!(error instanceof Error && 'code' in error && error.code === 'EEXIST')) throw error
  }
}

async function fileSystemIn(directory: string): Promise<number> {
  return (await statfs(directory)).type
}
