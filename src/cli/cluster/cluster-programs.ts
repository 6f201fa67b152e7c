import {
  ExecError,
  findRegistry,
  KubernetesError,
  runInPod,
  type UserAccess,
} from '../../kubernetes/kubernetes.ts'
import type { ClusterOptions } from './cluster-options.ts'

type Place = { readonly namespace: string; readonly pod: string; readonly container: string }

/** What a program in a pod wrote. */
export type Output = Awaited<ReturnType<typeof runInPod>>

/** Milliseconds: `berth doctor upstream` waits for each of several upstreams. */
const patience = 120_000

/**
 * Runs `berth …` in a container of the registry, as its user.
 * @throws KubernetesError: it may not be run, or is no program there.
 */
export async function runBerth(
  access: UserAccess,
  { namespace, pod, container }: Place,
  words: readonly string[],
): Promise<Output> {
  const command = ['berth', ...words]
  const signal = AbortSignal.timeout(patience)
  const what = `run ${command.slice(0, 3).join(' ')} in container ${container} of pod ${pod} in namespace ${namespace}`
  try {
    return await runInPod(access, { namespace, pod, container, command, signal })
  } catch (cause) {
    if (signal.aborted)
      throw new KubernetesError(`cannot ${what}: no answer for ${patience / 1000} s`, { cause })
    if (cause instanceof KubernetesError && cause.status === 403)
      throw new KubernetesError(
        `cannot ${what}: ${cause.message}; it takes the rights create and get on pods/exec`,
        { status: 403, cause },
      )
    if (cause instanceof ExecError)
      throw new KubernetesError(`cannot ${what}: ${cause.message}`, { cause })
    throw cause
  }
}

/** In a ready pod of the registry. */
export async function runBerthInRegistry(
  access: UserAccess,
  options: ClusterOptions,
  words: readonly string[],
): Promise<Output> {
  return runBerth(access, await findRegistry(access, options), words)
}
