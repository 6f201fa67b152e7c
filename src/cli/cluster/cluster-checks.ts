import { conditionOf, createClusterObjects, getRegistry } from '../../install/install.ts'
import {
  listServices,
  type RegistryPod,
  reviewAccess,
  type UserAccess,
} from '../../kubernetes/kubernetes.ts'
import type { AnyFinding } from '../doctor/findings.ts'

/** What can be seen of a registry from outside: rights, releases, pods, Services. */
export async function* checkCluster(
  access: UserAccess,
  pods: readonly RegistryPod[],
): AsyncGenerator<AnyFinding> {
  const [first] = pods
  if (first === undefined) return
  yield await checkRights(access, first.namespace)
  yield checkReleases(pods)
  for (const pod of pods) yield checkPod(pod)
  // Surrogates are reached through the API server alone.
  if (first.registry === undefined) yield await checkServices(access, first)
}

const wanted = [
  ['list', 'pods'],
  ['get', 'pods'],
  ['create', 'pods/exec'],
  ['get', 'pods/exec'],
] as const

async function checkRights(access: UserAccess, namespace: string): Promise<AnyFinding> {
  const step = 'rights'
  try {
    const answers = await Promise.all(
      wanted.map(async ([verb, resource]) => ({
        right: `${verb} ${resource}`,
        isGranted: await reviewAccess(access, { verb, resource, namespace }),
      })),
    )
    const missing = answers.filter(({ isGranted }) => !isGranted).map(({ right }) => right)
    if (missing.length === 0)
      return finding(step, 'ok', `you may list pods and exec in namespace ${namespace}`)
    return {
      ...finding(step, 'failed', `you may not: ${missing.join(', ')} in namespace ${namespace}`),
      advice: 'ask for the Role of src/kubernetes/README.md, "Access"',
    }
  } catch (error) {
    return finding(step, 'skipped', `your rights are not known: ${messageOf(error)}`)
  }
}

function checkReleases(pods: readonly RegistryPod[]): AnyFinding {
  const releases = [...new Set(pods.map(({ release }) => release))]
  if (releases.length === 1)
    return finding('release', 'ok', `${releases[0]} with ${pods.length} pods`)
  return {
    ...finding('release', 'failed', `there are several registries: ${releases.join(', ')}`),
    advice:
      'choose one with --namespace, or with --selector app.kubernetes.io/instance=RELEASE,app.kubernetes.io/component=registry',
  }
}

const advices: readonly (readonly [RegExp, string])[] = [
  [
    /ErrImagePull|ImagePullBackOff|InvalidImageName/,
    'the node cannot pull the image of Berth itself: check image.repository and image.tag of the chart, and imagePullSecrets',
  ],
  [/CrashLoopBackOff|Error|StartError/, 'see why it ended: kubectl logs --previous'],
  [/OOMKilled/, 'raise resources.limits.memory'],
  [/not scheduled/, 'see kubectl describe pod: resources, taints, or a volume that is not bound'],
  [/CreateContainerConfigError/, 'a Secret or ConfigMap that the pod names is missing'],
]

function checkPod({ namespace, pod, node, ready, problems }: RegistryPod): AnyFinding {
  const where = node === undefined ? '' : ` on ${node}`
  if (ready && problems.length === 0) return finding('pod', 'ok', `${pod}${where} is ready`)
  const text = problems.length === 0 ? 'it is not ready' : problems.join('; ')
  const advice = advices.find(([pattern]) => pattern.test(text))?.[1]
  return {
    ...finding('pod', ready ? 'ok' : 'failed', `${pod}${where}: ${text}`),
    ...(!ready && {
      advice: advice ?? `see kubectl describe pod --namespace ${namespace} ${pod}`,
    }),
  }
}

async function checkServices(
  access: UserAccess,
  { namespace, release }: RegistryPod,
): Promise<AnyFinding> {
  const step = 'service'
  try {
    const services = await listServices(access, namespace, release.split('/')[1] ?? '')
    if (services.length === 0)
      return {
        ...finding(step, 'failed', `namespace ${namespace} has no Service of the registry`),
        advice: 'install the release again with the chart',
      }
    const texts = services.map(({ name, type, nodePorts }) =>
      nodePorts.length === 0 ? `${name} (${type})` : `${name} (${type} ${nodePorts.join(', ')})`,
    )
    return finding(step, 'ok', texts.join(', '))
  } catch (error) {
    return finding(step, 'skipped', `Services are not known: ${messageOf(error)}`)
  }
}

/** What the operator found about the Registry of a surrogate. */
export async function checkRegistry(
  access: UserAccess,
  namespace: string,
  name: string,
): Promise<readonly AnyFinding[]> {
  const outcomes = { True: 'ok', False: 'failed', Unknown: 'skipped' } as const
  try {
    const registry = await getRegistry(createClusterObjects(access), namespace, name)
    return ['Accepted', 'Deployed', 'Reachable', 'Authenticated'].map((type) => {
      const condition = conditionOf(registry, type)
      const message = condition?.message ?? 'the operator has not written it yet'
      return finding(type.toLowerCase(), outcomes[condition?.status ?? 'Unknown'], message)
    })
  } catch (error) {
    return [finding('registry', 'skipped', `its state is not known: ${messageOf(error)}`)]
  }
}

function finding(step: string, outcome: AnyFinding['outcome'], message: string): AnyFinding {
  return { step, outcome, message, requests: [] }
}

function messageOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error)
}
