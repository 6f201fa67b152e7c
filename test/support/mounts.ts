import { execFileSync, spawnSync } from 'node:child_process'
import { appendFile, copyFile, mkdtemp, open, rm, rmdir, statfs, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { basename, join } from 'node:path'
import type { TestContext } from 'node:test'

export type FileSystem = { readonly directory: string; readonly remove: () => Promise<void> }

/** A file system in memory. `options` are those of tmpfs(5). Takes root. */
export async function mountFileSystem(options: string): Promise<FileSystem> {
  const directory = await mkdtemp(join(tmpdir(), 'berth-test-'))
  execFileSync('mount', ['-t', 'tmpfs', '-o', options, 'berth-test', directory])
  return {
    directory,
    remove: async () => {
      execFileSync('umount', ['--lazy', directory])
      await rmdir(directory)
    },
  }
}

/** As `mountFileSystem`, for one test. */
export async function ownFileSystem(t: TestContext, options: string): Promise<string> {
  const { directory, remove } = await mountFileSystem(options)
  t.after(remove)
  return directory
}

/** Changes the options of a mounted file system. */
export function remount(directory: string, options: string): void {
  execFileSync('mount', ['-o', `remount,${options}`, directory])
}

/** Bytes that are free on a file system. */
export async function freeBytes(directory: string): Promise<number> {
  const { bavail, bsize } = await statfs(directory)
  return bavail * bsize
}

/** Writes until the file system takes no more. */
export async function fillDisk(directory: string): Promise<void> {
  for (const size of [1024 * 1024, 4096, 1]) {
    const bytes = Buffer.alloc(size, 'x')
    for (let isFull = false; !isFull; )
      isFull = await appendFile(join(directory, 'neighbour'), bytes).then(
        () => false,
        () => true,
      )
  }
}

/** A disk whose power can fail. */
export type Disk = {
  readonly directory: string
  /** Writes out all there is, as the system does after a while. */
  settle(): void
  /**
   * What one finds who starts again after the power failed now, on a disk of its own. The file
   * system's journal has got to the disk, and what is in files that nobody waited for has not; with
   * `journal: false`, not even that, unless somebody waited for it. Nobody may write meanwhile.
   */
  afterPowerLoss(how?: { readonly journal?: boolean }): Promise<Disk>
  /** The file system has found an error: from now on it is read-only, also for files that are open. */
  becomeReadOnly(): Promise<void>
}

/** An ext4 of the test's own, in a file that is copied while it is in use. Takes root. */
export async function ownDisk(t: TestContext, size: number): Promise<Disk> {
  const image = join(tmpdir(), `berth-test-${process.pid}-${performance.now()}`)
  execFileSync('truncate', ['-s', String(size), image])
  execFileSync('mkfs.ext4', ['-q', image])
  return mountDisk(t, image)
}

async function mountDisk(t: TestContext, image: string): Promise<Disk> {
  const directory = await mkdtemp(join(tmpdir(), 'berth-test-'))
  // The journal is not committed within five minutes without a sync.
  execFileSync('mount', ['-o', 'loop,commit=300,errors=remount-ro', image, directory])
  t.after(async () => {
    execFileSync('umount', ['--lazy', directory])
    await rmdir(directory)
    await rm(image)
  })
  let copies = 0
  return {
    directory,
    settle: () => void execFileSync('sync', ['--file-system', directory]),
    afterPowerLoss: async ({ journal = true } = {}) => {
      if (journal) {
        const other = await open(join(directory, 'other'), 'w')
        await other.sync()
        await other.close()
      }
      copies += 1
      const copy = `${image}-${copies}`
      // The kernel may still write blocks of the journal's last commits to their places: a copy that mixes
      // what was before and after has checksums that no disk would have (EBADMSG).
      do await copyFile(image, copy)
      while (spawnSync('cmp', ['--silent', image, copy]).status !== 0)
      return mountDisk(t, copy)
    },
    becomeReadOnly: async () => {
      const find = ['--noheadings', '--output', 'SOURCE', directory]
      const device = basename(execFileSync('findmnt', find).toString().trim())
      await writeFile(`/sys/fs/ext4/${device}/trigger_fs_error`, 'by a test')
    },
  }
}
