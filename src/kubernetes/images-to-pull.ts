import { z } from 'zod'

const containers = z
  .array(z.object({ image: z.string().optional(), imagePullPolicy: z.string().optional() }))
  .default([])
  .catch([])
const volumes = z
  .array(
    z.object({
      image: z
        .object({ reference: z.string().optional(), pullPolicy: z.string().optional() })
        .optional(),
    }),
  )
  .default([])
  .catch([])
const podSpec = z.object({ containers, initContainers: containers, volumes })

const template = z.object({ spec: podSpec.optional().catch(undefined) })
const workload = z.object({
  metadata: z.object({ deletionTimestamp: z.string().optional() }),
  spec: z.looseObject({
    template: template.optional().catch(undefined),
    jobTemplate: z
      .object({ spec: z.object({ template }) })
      .optional()
      .catch(undefined),
  }),
  status: z
    .object({
      phase: z.string().optional(),
      conditions: z
        .array(z.object({ type: z.string(), status: z.string() }))
        .default([])
        .catch([]),
    })
    .prefault({})
    .catch({ conditions: [] }),
})

/**
 * The images that nodes have still to pull for a pod that does not run yet, or may pull for pods of a workload
 * (core/v1 PodSpec, also in templates). None for a Job that has ended, and none that is never pulled.
 */
export function imagesToPull(object: unknown): readonly string[] {
  const parsed = workload.safeParse(object)
  if (!parsed.success) return []
  const { metadata, spec, status } = parsed.data
  const hasEnded = status.conditions.some(
    ({ type, status }) => /^(Complete|Failed)$/.test(type) && status === 'True',
  )
  const hasStarted = status.phase !== undefined && status.phase !== 'Pending'
  if (metadata.deletionTimestamp !== undefined || hasEnded || hasStarted) return []
  const pod =
    spec.template?.spec ?? spec.jobTemplate?.spec.template.spec ?? podSpec.safeParse(spec).data
  if (pod === undefined) return []
  const named = [
    ...[...pod.initContainers, ...pod.containers].map(({ image, imagePullPolicy }) => ({
      image,
      policy: imagePullPolicy,
    })),
    ...pod.volumes.map(({ image }) => ({ image: image?.reference, policy: image?.pullPolicy })),
  ]
  return named.flatMap(({ image, policy }) => (image && policy !== 'Never' ? [image] : []))
}
