import { readFile } from 'node:fs/promises'
import { attempt, type Finished, type Program, type RunOptions, run, start } from './programs.ts'

/** Name spaces of a test's own: a machine's network, mounts and processes, without the machine. */
export interface Namespaces {
  /** Process id of its first process, outside of its namespaces. */
  readonly pid: number
  /** Runs a program in it that must succeed. What it wrote to standard output. */
  run(command: readonly string[], options?: RunOptions): Promise<string>
  attempt(command: readonly string[], options?: RunOptions): Promise<Finished>
  /** Runs a program in it for ever: again, if it ends. It writes to a file, and is gone when we are. */
  keep(command: readonly string[], log: string): Program
  /** Ends everything that runs in it; its mounts and network devices go with it. */
  close(): Promise<void>
}

/** Reaps what its children leave behind, as a first process must. */
const firstProcess = 'echo ready; sleep infinity & while :; do wait; done'

/** Everything in it ends when we do, however that is. `setup`: lines of bash, run in it at first. */
export async function startNamespaces(setup = ''): Promise<Namespaces> {
  const isolation = ['--mount', '--net', '--pid', '--fork', '--kill-child=KILL', '--mount-proc']
  const script = `set -e\nip link set lo up\n${setup}\n${firstProcess}`
  // Without --norc, bash takes a socket as standard input for a login from afar, and reads .bashrc.
  const keeper = start(['unshare', ...isolation, '--', 'bash', '--norc', '-c', script])
  await keeper.wrote(/^ready$/m)
  const children = await readFile(`/proc/${keeper.pid}/task/${keeper.pid}/children`, 'utf8')
  const pid = Number(children.trim())
  const inside = ['nsenter', `--target=${pid}`, '--mount', '--net', '--pid', '--']
  // Whoever starts others must take them along when it is killed: nsenter, and the shell of the loop.
  const mortal = ['setpriv', '--pdeathsig=KILL', '--']
  const again = (log: string) => {
    const loop = `while :; do ${mortal.join(' ')} "$@"; sleep 0.5; done >>'${log}' 2>&1`
    return [...mortal, 'sh', '-c', loop, 'sh']
  }

  return {
    pid,
    run: (command, options) => run([...inside, ...command], options),
    attempt: (command, options) => attempt([...inside, ...command], options),
    keep: (command, log) => start([...inside, ...again(log), ...command]),
    close: keeper.kill,
  }
}
