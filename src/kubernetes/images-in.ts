/**
 * In lists with these names each entry is a container or its status (core/v1 PodSpec, PodStatus).
 */
const containerLists = new Set([
  'containers',
  'initContainers',
  'ephemeralContainers',
  'containerStatuses',
  'initContainerStatuses',
  'ephemeralContainerStatuses',
])
/** What another program wrote about an object, and the object as it was applied: a copy of it. */
const skipped = new Set(['managedFields', 'annotations', 'labels'])
/** A CronJob's containers are seven levels below its top. */
const maxDepth = 12

/**
 * The image references in an object of the Kubernetes API: of containers, of image volumes
 * (KEP-4639), and the digests that kubelets report in the status. Looks for pod specs at any depth,
 * because each kind has its template elsewhere: pods, ReplicaSets, CronJobs, and ControllerRevisions,
 * whose data has no schema.
 */
export function imagesIn(object: unknown): readonly string[] {
  const images = new Set<string>()
  collect(object, 0, images)
  return [...images]
}

function collect(value: unknown, depth: number, images: Set<string>): void {
  if (depth > maxDepth || typeof value !== 'object' || value === null) return
  for (const [key, child] of Object.entries(value)) {
    if (skipped.has(key)) continue
    if (Array.isArray(child)) {
      for (const entry of child) {
        if (containerLists.has(key)) add(entry, ['image', 'imageID'], images)
        collect(entry, depth + 1, images)
      }
    } else {
      // `volumes[].image.reference`, and `volumeMounts[].volumeStatus.image.imageRef` (KEP-5365).
      if (key === 'image') add(child, ['reference', 'imageRef'], images)
      collect(child, depth + 1, images)
    }
  }
}

function add(value: unknown, keys: readonly string[], images: Set<string>): void {
  if (typeof value !== 'object' || value === null) return
  for (const [key, text] of Object.entries(value))
    if (keys.includes(key) && typeof text === 'string' && text !== '') images.add(text)
}
