import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { readdir, readFile } from 'node:fs/promises'
import type { Child } from './child.ts'

/** The threads of a program that call for files, for the network, or `sendfile`; the last begins with its first use. */
type Thread = 'files' | 'main' | 'sendfile'

const threadNames: Readonly<Record<Thread, string>> = {
  files: 'libuv-worker',
  main: 'MainThread',
  sendfile: 'sendfile',
}

/** Faults in the system calls of a running program, until they are withdrawn. */
export type Fault = { withdraw(): Promise<void> }

/**
 * Makes system calls of one thread fail, or kill the program. `fault` is what strace(1) says of
 * `--inject`: `pwrite64,pwritev:error=ENOSPC:when=3+`. Calls are counted from here on, those of each
 * name by themselves, and a signal comes before the call takes effect. A call to
 * `write` must not fail in this way: it is also how a thread wakes the others.
 */
export async function inject(
  child: Pick<Child, 'pid'>,
  thread: Thread,
  fault: string,
): Promise<Fault> {
  const task = await taskOf(child, thread)
  const [calls = ''] = fault.split(':')
  const words = ['--quiet=none', '-o', '/dev/null', '-e', `trace=${calls}`, '-e', `inject=${fault}`]
  const strace = spawn('strace', [...words, '-p', String(task)], {
    stdio: ['ignore', 'ignore', 'pipe'],
  })
  const exited = once(strace, 'exit')
  let said = ''
  const attached = Promise.withResolvers<void>()
  strace.stderr.on('data', (chunk: Buffer) => {
    said += chunk.toString('utf8')
    if (said.includes('attached')) attached.resolve()
  })
  strace.once('exit', () => attached.reject(new Error(`strace: ${said}`)))
  await attached.promise
  return {
    withdraw: async () => {
      strace.kill('SIGINT')
      await exited
    },
  }
}

async function taskOf({ pid }: Pick<Child, 'pid'>, thread: Thread): Promise<string> {
  const tasks = await readdir(`/proc/${pid}/task`)
  for (const task of tasks) {
    // A thread may end meanwhile.
    const name = await readFile(`/proc/${pid}/task/${task}/comm`, 'utf8').catch(() => '')
    if (name.trim() === threadNames[thread]) return task
  }
  throw new Error(`process ${pid} has no thread ${threadNames[thread]}`)
}
