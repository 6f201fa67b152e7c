import { mkdir, symlink } from 'node:fs/promises'
import { dirname, join } from 'node:path'
import type { Cluster } from './cluster.ts'
import { main } from './command.ts'
import { attempt, tool } from './programs.ts'

/** Runs `kubectl berth`. What it wrote; rejects if it fails. */
export type ClusterUser = (...words: readonly string[]) => Promise<string>

/** Users of a machine with kubectl and Berth. `directory`: their home, where commands run. */
export async function createUsers(directory: string): Promise<(kubeconfig: string) => ClusterUser> {
  const bin = join(directory, 'bin')
  await mkdir(bin)
  await symlink(main, join(bin, 'kubectl-berth'))
  const programs = [bin, dirname(tool('kubectl')), dirname(process.execPath), '/usr/bin:/bin']
  return (kubeconfig) => {
    const environment = { PATH: programs.join(':'), HOME: directory, KUBECONFIG: kubeconfig }
    return async (...words) => {
      const options = { environment, directory, patience: 200 }
      const { status, stdout, output } = await attempt(['kubectl', 'berth', ...words], options)
      if (status !== 0) throw new Error(`${words.join(' ')} ended with ${status}: ${output}`)
      return stdout
    }
  }
}

/** Kills all operators by a signal that they cannot handle, as the kernel does when memory is short. */
export async function killOperators({ nodes }: Pick<Cluster, 'nodes'>): Promise<number> {
  let killed = 0
  for (const node of nodes) {
    // The bracket: grep does not find itself.
    const command = "grep -lzx 'operato[r]' /proc/[0-9]*/cmdline"
    const found = await node.attempt(['bash', '-c', command])
    for (const [, pid = ''] of found.stdout.matchAll(/^\/proc\/(\d+)/gm)) {
      await node.run(['kill', '-KILL', pid])
      killed += 1
    }
  }
  return killed
}
