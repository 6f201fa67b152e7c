import { z } from 'zod'

const containers = z
  .array(z.object({ name: z.string(), image: z.string() }))
  .default([])
  .catch([])
const statuses = z
  .array(
    z.object({
      name: z.string(),
      imageID: z.string(),
      state: z.object({ terminated: z.unknown() }).optional(),
    }),
  )
  .default([])
  .catch([])
const pod = z.object({
  spec: z.object({ containers, initContainers: containers }),
  status: z.object({
    phase: z.string().optional(),
    containerStatuses: statuses,
    initContainerStatuses: statuses,
  }),
})

/**
 * What a pod runs (core/v1 ContainerStatus, `imageID`), by the reference of its container. The status has a
 * reference too, but a runtime may name another tag of the same image there.
 */
export function imageIdsIn(object: unknown): ReadonlyMap<string, string> {
  const parsed = pod.safeParse(object)
  if (!parsed.success || /^(Succeeded|Failed)$/.test(parsed.data.status.phase ?? ''))
    return new Map()
  const { spec, status } = parsed.data
  const images = new Map(
    [...spec.containers, ...spec.initContainers].map(({ name, image }) => [name, image]),
  )
  const found = new Map<string, string>()
  for (const { name, imageID, state } of [
    ...status.containerStatuses,
    ...status.initContainerStatuses,
  ]) {
    const image = images.get(name)
    const hasEnded = state?.terminated !== undefined && state.terminated !== null
    if (image !== undefined && imageID !== '' && !hasEnded) found.set(image, imageID)
  }
  return found
}
