import type { ApiClient } from './api-client.ts'
import { createReflector, type Reflector } from './reflector.ts'

/**
 * Everything that runs, or that the cluster can start or roll back to by itself: ReplicaSets are the
 * history of Deployments, as far as their `revisionHistoryLimit` goes, and ControllerRevisions that
 * of StatefulSets and DaemonSets. Workloads scaled to zero count.
 */
const workloadPaths = {
  Pod: '/api/v1/pods',
  PodTemplate: '/api/v1/podtemplates',
  ReplicationController: '/api/v1/replicationcontrollers',
  ControllerRevision: '/apis/apps/v1/controllerrevisions',
  DaemonSet: '/apis/apps/v1/daemonsets',
  Deployment: '/apis/apps/v1/deployments',
  ReplicaSet: '/apis/apps/v1/replicasets',
  StatefulSet: '/apis/apps/v1/statefulsets',
  CronJob: '/apis/batch/v1/cronjobs',
  Job: '/apis/batch/v1/jobs',
} as const

/** Kinds whose objects are what was started, and not what will be: revisions of others, and templates. */
const histories: readonly string[] = ['PodTemplate', 'ControllerRevision', 'ReplicaSet']

type Log = Parameters<typeof createReflector>[0]['log']

type Options = {
  readonly client: ApiClient
  readonly log: Log
  readonly maxSilence?: number
  readonly retryDelay?: number
}

/** The images that all workloads of the cluster name. */
export function watchWorkloadImages({ client, ...options }: Options): Reflector {
  const all = Object.entries(workloadPaths).map(([kind, path]) => ({
    kind,
    reflector: createReflector({ client, path, kind, ...options }),
  }))
  const reflectors = all.map(({ reflector }) => reflector)
  return {
    images: function* () {
      for (const reflector of reflectors) yield* reflector.images()
    },
    uses: function* () {
      for (const reflector of reflectors) yield* reflector.uses()
    },
    toPull: function* () {
      for (const { kind, reflector } of all)
        if (!histories.includes(kind)) yield* reflector.toPull()
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
