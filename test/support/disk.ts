import { execFileSync } from 'node:child_process'
import {
  chmod,
  lstat,
  mkdir,
  open,
  readdir,
  rename,
  rm,
  symlink,
  truncate,
  writeFile,
} from 'node:fs/promises'
import { dirname, join } from 'node:path'
import type { Digest } from '../../src/oci/digest.ts'
import { createBlockChecksummer, formatChecksums } from '../../src/store/block-checksums.ts'
import { blobPath, checksumsPath } from '../../src/store/paths.ts'
import type { Blob } from './images.ts'

/** Puts a file where the store looks for a blob, in one step, as a finished fill would. */
export async function placeBlob(root: string, { digest, bytes }: Blob): Promise<string> {
  const path = blobPath(root, digest)
  await mkdir(dirname(path), { recursive: true })
  const temporary = `${path}.new`
  await writeFile(temporary, bytes, { mode: 0o444 })
  await rename(temporary, path)
  return path
}

/** Puts its checksums beside a blob, as a finished fill would. */
export async function placeChecksums(root: string, { digest, bytes }: Blob): Promise<void> {
  const checksummer = createBlockChecksummer()
  checksummer.update(bytes)
  const path = checksumsPath(root, digest)
  await writeFile(path, formatChecksums(digest, checksummer.finish()))
}

/** Ways in which a blob's file stops being what its name says. */
export const damages: Readonly<Record<string, (path: string, size: number) => Promise<void>>> = {
  'a flipped byte at the start': (path) => flip(path, 0),
  'a flipped byte in the middle': (path, size) => flip(path, size >> 1),
  'a flipped byte at the end': (path, size) => flip(path, size - 1),
  'its end cut off': (path, size) => truncate(path, size - 1),
  'something at its end': (path) => writeFile(path, 'x', { flag: 'a' }),
  'no bytes': (path) => truncate(path, 0),
  'a directory in its place': (path) =>
    replace(path, () => mkdir(join(path, 'x'), { recursive: true })),
  'a symbolic link in its place': (path) => replace(path, () => symlink('/etc/hostname', path)),
  'a FIFO in its place': (path) => replace(path, async () => void execFileSync('mkfifo', [path])),
}

async function replace(path: string, make: () => Promise<unknown>): Promise<void> {
  await rm(path)
  await make()
}

/** Changes one byte of a file. */
export async function flip(path: string, position: number): Promise<void> {
  await chmod(path, 0o644)
  const file = await open(path, 'r+')
  try {
    const byte = Buffer.alloc(1)
    await file.read(byte, 0, 1, position)
    byte.writeUInt8(byte.readUInt8() ^ 1)
    await file.write(byte, 0, 1, position)
  } finally {
    await file.close()
  }
}

/** Changes one byte of a stored blob. */
export function flipBlob(root: string, digest: Digest, position: number): Promise<void> {
  return flip(blobPath(root, digest), position)
}

/** Bytes that a directory and all below it use, as du(1) counts them, but for some files. */
export async function diskUseOf(root: string, except: readonly string[] = []): Promise<number> {
  const all = await readdir(root, { recursive: true }).catch(() => [])
  // ext4 makes a directory of its own at the root of each file system.
  const paths = all.filter((path) => path !== 'lost+found' && !except.includes(path))
  const blocks = await Promise.all(
    [root, ...paths.map((path) => join(root, path))].map((path) =>
      lstat(path).then(
        (found) => found.blocks,
        () => 0,
      ),
    ),
  )
  return 512 * blocks.reduce((sum, count) => sum + count, 0)
}

/** Unfinished files of all owners. */
export async function temporaryFiles(root: string): Promise<readonly string[]> {
  const entries = await readdir(join(root, 'tmp'), { recursive: true, withFileTypes: true }).catch(
    () => [],
  )
  return entries.filter((entry) => !entry.isDirectory()).map(({ name }) => name)
}
