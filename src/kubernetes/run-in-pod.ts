import { ExecError, execInPod } from './exec.ts'
import type { UserAccess } from './kubeconfig.ts'
import { KubernetesError } from './kubernetes-error.ts'

type Ended = {
  readonly stdout: string
  /** Its end; empty if the program succeeded. */
  readonly stderr: string
  readonly exitCode: number
}

/** Bytes of standard output. */
const maxOutput = 16 * 1024 * 1024

/**
 * Runs a program in a container to its end, without input.
 * @throws KubernetesError if the API server refuses it; ExecError if the program cannot be started.
 */
export async function runInPod(
  access: UserAccess,
  options: Parameters<typeof execInPod>[1],
): Promise<Ended> {
  const stream = await execInPod(access, options)
  stream.end()
  const chunks: Buffer[] = []
  let size = 0
  const stdout = () => Buffer.concat(chunks).toString('utf8')
  try {
    for await (const chunk of stream) {
      size += chunk.length
      if (size > maxOutput)
        throw new KubernetesError(`the output of ${options.command[0]} is too long`)
      chunks.push(chunk)
    }
    return { stdout: stdout(), stderr: '', exitCode: 0 }
  } catch (error) {
    if (!(error instanceof ExecError) || error.exitCode === undefined) throw error
    return { stdout: stdout(), stderr: error.message, exitCode: error.exitCode }
  }
}
