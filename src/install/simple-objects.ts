import { createHash } from 'node:crypto'
import { z } from 'zod'
import { type ChartVariant, chartObjects, namespacePlaceholder } from './chart-objects.ts'
import { type KubernetesObject, type ObjectReference, objectSchema } from './objects.ts'
import { pullPolicyFor } from './pull-policy.ts'
import { manager, managerLabel } from './remove-all.ts'
import { choicesAnnotation, type SimpleChoices } from './simple-choices.ts'

/** Names of what the chart makes. */
export const simpleName = 'berth'
export const simpleNames = {
  users: 'berth-htpasswd',
  tls: 'berth-tls',
  authority: 'berth-ca',
  claim: 'berth-hosted',
} as const
/** Labels of all objects. */
export const simpleLabels = {
  'app.kubernetes.io/name': 'berth',
  'app.kubernetes.io/instance': 'berth',
  [managerLabel]: manager,
} as const
/** Labels of the pods. */
export const simplePods = {
  'app.kubernetes.io/name': 'berth',
  'app.kubernetes.io/instance': 'berth',
  'app.kubernetes.io/component': 'registry',
} as const

export const simpleDeployment = (namespace: string): ObjectReference => ({
  apiVersion: 'apps/v1',
  kind: 'Deployment',
  metadata: { name: simpleName, namespace },
})

const certManager = 'cert-manager.io/v1'
const hostedVolume = 'hosted'

const deploymentSchema = z.looseObject({
  template: z.looseObject({
    metadata: z.looseObject({ annotations: z.record(z.string(), z.string()) }),
    spec: z.looseObject({
      containers: z.array(z.looseObject({ name: z.string() })),
      volumes: z.array(z.looseObject({ name: z.string() })),
    }),
  }),
})
const configMapSchema = z.object({ 'berth.yaml': z.string() })
const looseSchema = z.looseObject({})

/** What the chart's templates make of the choices: Secrets are not among it. In the order of their creation. */
export function simpleObjects(
  namespace: string,
  choices: SimpleChoices,
  defaultImage: string,
): readonly KubernetesObject[] {
  const image = choices.image ?? defaultImage
  const text = JSON.stringify(chartObjects(variantOf(choices)))
  const parsed: unknown = JSON.parse(text.replaceAll(namespacePlaceholder, namespace))
  const all = z.array(objectSchema).parse(parsed)
  const config = all.find(({ kind }) => kind === 'ConfigMap')
  const { 'berth.yaml': configuration } = configMapSchema.parse(config?.['data'])
  return all
    .filter((object) => isWanted(object, choices))
    .map((object) => adapt(object, choices, { image, configuration }))
    .toSorted(
      (one, other) => Number(one.kind === 'Deployment') - Number(other.kind === 'Deployment'),
    )
}

function variantOf({ access, tls }: SimpleChoices): ChartVariant {
  const hasTls = tls !== 'none'
  if (access === 'users') return hasTls ? 'usersTls' : 'users'
  return hasTls ? 'anonymousTls' : 'anonymous'
}

function isWanted(
  { apiVersion, kind, metadata }: KubernetesObject,
  { tls, issuer, storage }: SimpleChoices,
): boolean {
  if (kind === 'PersistentVolumeClaim') return storage === 'claim'
  if (apiVersion !== certManager) return true
  const isOwnAuthority = kind === 'Issuer' || metadata.name === simpleNames.authority
  return tls === 'cert-manager' && !(issuer !== undefined && isOwnAuthority)
}

type Given = { readonly image: string; readonly configuration: string }

function adapt(object: KubernetesObject, choices: SimpleChoices, given: Given): KubernetesObject {
  const { kind, metadata, spec } = object
  switch (kind) {
    case 'Deployment':
      return {
        ...object,
        metadata: {
          ...metadata,
          annotations: { ...metadata.annotations, [choicesAnnotation]: JSON.stringify(choices) },
        },
        spec: deploymentSpec(spec, choices, given),
      }
    case 'PersistentVolumeClaim':
      return { ...object, spec: claimSpec(spec, choices) }
    case 'Certificate':
      return metadata.name === simpleName
        ? { ...object, spec: certificateSpec(spec, choices) }
        : object
    default:
      return object
  }
}

function deploymentSpec(
  spec: unknown,
  { pullPolicy, storage, size }: SimpleChoices,
  { image, configuration }: Given,
): object {
  const { template, ...rest } = deploymentSchema.parse(spec)
  const { containers, volumes, ...pod } = template.spec
  const checksum = createHash('sha256').update(configuration).digest('hex')
  const imagePullPolicy = pullPolicy ?? pullPolicyFor(image)
  const emptyDir = { name: hostedVolume, emptyDir: { sizeLimit: size } }
  return {
    ...rest,
    template: {
      ...template,
      metadata: {
        ...template.metadata,
        annotations: { ...template.metadata.annotations, 'checksum/config': checksum },
      },
      spec: {
        ...pod,
        containers: containers.map((one) => ({ ...one, image, imagePullPolicy })),
        volumes: volumes.map((one) =>
          one.name === hostedVolume && storage === 'empty-dir' ? emptyDir : one,
        ),
      },
    },
  }
}

function claimSpec(spec: unknown, { size, storageClass }: SimpleChoices): object {
  return {
    ...looseSchema.parse(spec),
    resources: { requests: { storage: size } },
    ...(storageClass !== undefined && { storageClassName: storageClass }),
  }
}

function certificateSpec(spec: unknown, { issuer }: SimpleChoices): object {
  const fields = looseSchema.parse(spec)
  return issuer === undefined
    ? fields
    : { ...fields, issuerRef: { ...issuer, group: 'cert-manager.io' } }
}
