import { z } from 'zod'
import { KubernetesError } from '../kubernetes/kubernetes.ts'
import { type AppliedObject, applyAll, ensureNamespace } from './apply-all.ts'
import type { KeyPair } from './certificates.ts'
import type { ClusterObjects } from './cluster-objects.ts'
import { describeReference, type KubernetesObject, type ObjectReference } from './objects.ts'
import { manager, managerLabel } from './remove-all.ts'
import {
  choicesAnnotation,
  defaultChoices,
  type MadeChoices,
  parseChoices,
  type SimpleChoices,
  simpleChoicesSchema,
} from './simple-choices.ts'
import { simpleDeployment, simpleName, simpleNames, simpleObjects } from './simple-objects.ts'
import { certificateSecrets, expiresSoon, usersSecret } from './simple-secrets.ts'

type Login = { readonly username: string; readonly password: string }
/** Lines of an htpasswd file, and the login in them if it was generated. */
export type Users = { readonly lines: string; readonly login?: Login }

export type SimpleInstallation = {
  readonly namespace: string
  readonly choices: MadeChoices
  readonly defaultImage: string
  /** Users of a file, which replace those of before. */
  readonly users?: Users | undefined
  /** Is called for an installation without users. */
  readonly createUsers: () => Promise<Users>
  readonly now: Date
}

/** What is to be applied. */
export type SimplePlan = {
  readonly choices: SimpleChoices
  readonly objects: readonly KubernetesObject[]
  /** Was generated for this installation. */
  readonly login?: Login | undefined
  /** What stays as an earlier installation made it. */
  readonly kept: readonly string[]
}

const secretReference = (namespace: string, name: string): ObjectReference => ({
  apiVersion: 'v1',
  kind: 'Secret',
  metadata: { name, namespace },
})

/**
 * Plans an installation, or the change of one: what is not chosen stays as it is.
 * `cluster`: undefined for a plan of a new one, in any cluster.
 * @throws KubernetesError if Helm installed Berth there.
 */
export async function planSimple(
  cluster: Pick<ClusterObjects, 'get'> | undefined,
  installation: SimpleInstallation,
): Promise<SimplePlan> {
  const { namespace, choices: made, defaultImage } = installation
  const before = await earlier(cluster, namespace)
  const choices = choose(made, before)
  const parts = [
    await planUsers(cluster, installation, choices),
    await planCertificates(cluster, installation, choices),
  ]
  const { objects, kept } = await withoutKeptClaim(
    cluster,
    simpleObjects(namespace, choices, defaultImage),
    made,
  )
  return {
    choices,
    objects: [...parts.flatMap((part) => part.objects), ...objects],
    login: parts.find(({ login }) => login !== undefined)?.login,
    kept: [...parts.flatMap((part) => part.kept), ...kept],
  }
}

type Applying = {
  readonly namespace: string
  readonly plan: SimplePlan
  readonly force?: boolean | undefined
  readonly onApplied: (applied: AppliedObject) => void
}

export async function applySimple(
  cluster: ClusterObjects,
  { namespace, plan, force, onApplied }: Applying,
): Promise<readonly AppliedObject[]> {
  if (await ensureNamespace(cluster, namespace))
    onApplied({ kind: 'Namespace', name: namespace, result: 'created' })
  return applyAll(cluster, { objects: plan.objects, force, onApplied })
}

async function earlier(
  cluster: Pick<ClusterObjects, 'get'> | undefined,
  namespace: string,
): Promise<SimpleChoices | undefined> {
  const deployment = await cluster?.get(simpleDeployment(namespace))
  if (deployment === undefined) return undefined
  const { labels = {}, annotations = {} } = deployment.metadata
  const { [managerLabel]: owner } = labels
  if (owner !== manager)
    throw new KubernetesError(
      `there is a Deployment ${simpleName} in namespace ${namespace} already, managed by ${owner ?? 'somebody else'}: ${owner === 'Helm' ? 'change it with helm upgrade, or choose' : 'choose'} another namespace with -n`,
    )
  return parseChoices(annotations[choicesAnnotation])
}

function choose(made: MadeChoices, before: SimpleChoices | undefined): SimpleChoices {
  const given: Partial<SimpleChoices> = Object.fromEntries(
    Object.entries(made).filter(([, value]) => value !== undefined),
  )
  const merged: Partial<SimpleChoices> = { ...defaultChoices, ...before, ...given }
  // An issuer belongs to cert-manager.
  if (merged.tls !== 'cert-manager') delete merged.issuer
  if (merged.access === undefined)
    throw new KubernetesError(
      'say who may use the registry: users who log in (--authorization), or everyone who reaches it (--anonymous)',
    )
  return simpleChoicesSchema.parse(merged)
}

type Part = {
  readonly objects: readonly KubernetesObject[]
  readonly kept: readonly string[]
  readonly login?: Login | undefined
}
const nothing: Part = { objects: [], kept: [] }

async function planUsers(
  cluster: Pick<ClusterObjects, 'get'> | undefined,
  { namespace, users, createUsers }: SimpleInstallation,
  { access }: SimpleChoices,
): Promise<Part> {
  if (access === 'none') return nothing
  const reference = secretReference(namespace, simpleNames.users)
  if (users === undefined && (await cluster?.get(reference)) !== undefined)
    return { objects: [], kept: [describeReference(reference)] }
  const { lines, login } = users ?? (await createUsers())
  return { objects: [usersSecret(namespace, lines)], kept: [], login }
}

async function planCertificates(
  cluster: Pick<ClusterObjects, 'get'> | undefined,
  { namespace, now }: SimpleInstallation,
  { tls }: SimpleChoices,
): Promise<Part> {
  if (tls !== 'self-signed') return nothing
  const reference = secretReference(namespace, simpleNames.tls)
  const current = pairIn(await cluster?.get(reference))
  if (current !== undefined && !expiresSoon(current.certificate, now))
    return { objects: [], kept: [describeReference(reference)] }
  const found = pairIn(await cluster?.get(secretReference(namespace, simpleNames.authority)))
  const authority = found !== undefined && !expiresSoon(found.certificate, now) ? found : undefined
  return { objects: certificateSecrets({ namespace, now, authority }), kept: [] }
}

const pairSchema = z.object({ 'tls.crt': z.string(), 'tls.key': z.string() })

function pairIn(secret: KubernetesObject | undefined): KeyPair | undefined {
  const { data } = pairSchema.safeParse(secret?.['data'])
  const decode = (text: string) => Buffer.from(text, 'base64').toString('utf8')
  return data && { certificate: decode(data['tls.crt']), key: decode(data['tls.key']) }
}

/** Most fields of a claim cannot be changed: one that exists stays, unless its size is given. */
async function withoutKeptClaim(
  cluster: Pick<ClusterObjects, 'get'> | undefined,
  objects: readonly KubernetesObject[],
  made: MadeChoices,
): Promise<Part> {
  const claim = objects.find(({ kind }) => kind === 'PersistentVolumeClaim')
  const isChanged = made.size !== undefined || made.storageClass !== undefined
  if (claim === undefined || isChanged || (await cluster?.get(claim)) === undefined)
    return { objects, kept: [] }
  return { objects: objects.filter((one) => one !== claim), kept: [describeReference(claim)] }
}
