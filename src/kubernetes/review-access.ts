import { z } from 'zod'
import type { UserAccess } from './kubeconfig.ts'
import { requestObject } from './user-api.ts'

/** What a user wants to do. */
export type Wanted = {
  readonly verb: string
  /** Such as `pods/exec`. */
  readonly resource: string
  readonly namespace: string
}

const path = '/apis/authorization.k8s.io/v1/selfsubjectaccessreviews'
const reviewSchema = z.object({ status: z.object({ allowed: z.boolean().default(false) }) })

/**
 * Whether the user may, as the API server says (SelfSubjectAccessReview, which every user may create).
 * @throws KubernetesError
 */
export async function reviewAccess(
  access: UserAccess,
  { verb, resource, namespace }: Wanted,
): Promise<boolean> {
  const [kind = '', subresource] = resource.split('/')
  const { object } = await requestObject(access, {
    method: 'POST',
    path,
    body: {
      apiVersion: 'authorization.k8s.io/v1',
      kind: 'SelfSubjectAccessReview',
      spec: {
        resourceAttributes: {
          ...{ verb, namespace, group: '', resource: kind },
          ...(subresource !== undefined && { subresource }),
        },
      },
    },
  })
  return reviewSchema.parse(object).status.allowed
}
