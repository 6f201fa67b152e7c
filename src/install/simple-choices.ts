import { z } from 'zod'

/** How Berth is installed. An installation keeps its choices, without secrets, so that it can be repeated. */
export const simpleChoicesSchema = z.object({
  /** Default: that of the version which is installed. */
  image: z.string().optional(),
  /** Default: `Never` for an image that was copied to the nodes, whose name begins with localhost/. */
  pullPolicy: z.enum(['Always', 'IfNotPresent', 'Never']).optional(),
  /** `none`: everyone who reaches it may pull, push and delete. */
  access: z.enum(['users', 'none']),
  tls: z.enum(['none', 'cert-manager', 'self-signed']),
  /** Of cert-manager; default: an authority of the installation's own. */
  issuer: z.object({ kind: z.enum(['Issuer', 'ClusterIssuer']), name: z.string() }).optional(),
  /** `empty-dir`: pushed images are lost with the pod. */
  storage: z.enum(['claim', 'empty-dir']),
  /** Quantity of Kubernetes. */
  size: z.string(),
  /** Default: that of the cluster. */
  storageClass: z.string().optional(),
})
export type SimpleChoices = z.output<typeof simpleChoicesSchema>

/** Those that were made now. */
export type MadeChoices = {
  readonly [Name in keyof SimpleChoices]?: SimpleChoices[Name] | undefined
}

/** Annotation of the Deployment. */
export const choicesAnnotation = 'berth.dev/install'

/** What is chosen unless something else is, or was in an earlier installation. */
export const defaultChoices = { tls: 'none', storage: 'claim', size: '50Gi' } as const

/** Choices of an earlier installation; undefined: it is none of ours. */
export function parseChoices(annotation: string | undefined): SimpleChoices | undefined {
  if (annotation === undefined) return undefined
  try {
    return simpleChoicesSchema.safeParse(JSON.parse(annotation)).data
  } catch {
    return undefined
  }
}
