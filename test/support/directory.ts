import { rmSync } from 'node:fs'
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { after, type TestContext } from 'node:test'

const directories: string[] = []

/** A cache that is closed after its directory was removed creates it again. */
process.once('exit', () => {
  for (const directory of directories) rmSync(directory, { recursive: true, force: true })
})

/** Repeats it, because a server that is being stopped may still write into the directory. */
export function removeDirectory(directory: string): Promise<void> {
  return rm(directory, { recursive: true, force: true, maxRetries: 10, retryDelay: 100 })
}

/** A directory for one test, removed after it. */
export async function ownDirectory(t: TestContext, below = tmpdir()): Promise<string> {
  const directory = await mkdtemp(join(below, 'berth-test-'))
  directories.push(directory)
  t.after(() => removeDirectory(directory))
  return directory
}

/** A directory for all tests of a file, removed after the last. */
export async function useDirectory(): Promise<string> {
  const directory = await mkdtemp(join(tmpdir(), 'berth-test-'))
  directories.push(directory)
  after(() => removeDirectory(directory))
  return directory
}
