import { execFileSync } from 'node:child_process'
import { mkdtemp, rmdir, statfs } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import type { TestContext } from 'node:test'

/** A file system of the test's own, in memory. `options` are those of tmpfs(5). Takes root. */
export async function ownFileSystem(t: TestContext, options: string): Promise<string> {
  const directory = await mkdtemp(join(tmpdir(), 'berth-test-'))
  execFileSync('mount', ['-t', 'tmpfs', '-o', options, 'berth-test', directory])
  t.after(async () => {
    execFileSync('umount', ['--lazy', directory])
    await rmdir(directory)
  })
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
