import type { ApiClient } from './api-client.ts'
import { createReflector, type Reflector } from './reflector.ts'

/**
 * Everything that runs, or that the cluster can start or roll back to by itself: ReplicaSets are the
 * history of Deployments, as far as their `revisionHistoryLimit` goes, and ControllerRevisions that
 * of StatefulSets and DaemonSets. Workloads scaled to zero count.
 */
const workloadPaths = [
  '/api/v1/pods',
  '/api/v1/podtemplates',
  '/api/v1/replicationcontrollers',
  '/apis/apps/v1/controllerrevisions',
  '/apis/apps/v1/daemonsets',
  '/apis/apps/v1/deployments',
  '/apis/apps/v1/replicasets',
  '/apis/apps/v1/statefulsets',
  '/apis/batch/v1/cronjobs',
  '/apis/batch/v1/jobs',
] as const

type Log = Parameters<typeof createReflector>[0]['log']

type Options = {
  readonly client: ApiClient
  readonly log: Log
  readonly maxSilence?: number
  readonly retryDelay?: number
}

/** The images that all workloads of the cluster name. */
export function watchWorkloadImages({ client, ...options }: Options): Reflector {
  const reflectors = workloadPaths.map((path) => createReflector({ client, path, ...options }))
  return {
    images: function* () {
      for (const reflector of reflectors) yield* reflector.images()
    },
    version: () => reflectors.reduce((sum, { version }) => sum + version(), 0),
    problem: () => {
      const problems = reflectors
        .map(({ problem }) => problem())
        .filter((text) => text !== undefined)
      if (problems.length === 0) return undefined
      const [first] = problems
      return problems.length === 1 ? first : `${first} (and ${problems.length - 1} other kinds)`
    },
    synced: Promise.all(reflectors.map(({ synced }) => synced)).then(() => {}),
    close: async () => {
      await Promise.all(reflectors.map(({ close }) => close()))
      await client.close()
    },
  }
}
