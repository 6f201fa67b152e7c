import { mkdir, readFile, rmdir, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'

/** A cgroup of a test's own that bounds memory, of version 1 or 2. */
export type LimitedMemory = {
  /** Runs the program behind it within the cgroup. */
  readonly wrapper: readonly string[]
  /** Bytes at the highest. */
  peak(): Promise<number>
  /** Number of processes that the kernel killed because memory was exhausted. */
  killed(): Promise<number>
  /** Once its processes have ended. */
  remove(): Promise<void>
}

const version1 = '/sys/fs/cgroup/memory'
const version2 = '/sys/fs/cgroup'
let made = 0

export async function limitMemory(bytes: number): Promise<LimitedMemory> {
  const mounts = await readFile('/proc/self/mounts', 'utf8')
  const isFirst = mounts.includes(` ${version1} cgroup `)
  made += 1
  const name = `berth-test-${process.pid}-${made}`
  const directory = join(isFirst ? version1 : version2, name)
  if (!isFirst) await writeFile(join(version2, 'cgroup.subtree_control'), '+memory')
  await mkdir(directory)
  const file = (first: string, second: string) => join(directory, isFirst ? first : second)
  await writeFile(file('memory.limit_in_bytes', 'memory.max'), String(bytes))
  const events = file('memory.oom_control', 'memory.events')

  return {
    wrapper: ['sh', '-c', `echo $$ >${directory}/cgroup.procs && exec "$@"`, 'sh'],
    peak: async () =>
      Number(await readFile(file('memory.max_usage_in_bytes', 'memory.peak'), 'utf8')),
    killed: async () => Number(/^oom_kill (\d+)$/m.exec(await readFile(events, 'utf8'))?.[1] ?? 0),
    remove: () => removeWhenEmpty(directory),
  }
}

/** Its last process disappears shortly after its end is reported. */
async function removeWhenEmpty(directory: string): Promise<void> {
  for (let tries = 0; tries < 100; tries += 1) {
    try {
      return await rmdir(directory)
    } catch {
      await sleep(50)
    }
  }
}
