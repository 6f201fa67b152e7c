import { z } from 'zod'
import { KubernetesError, requestObject, type UserAccess } from '../kubernetes/kubernetes.ts'
import {
  collectionPath,
  describeReference,
  type KubernetesObject,
  type ObjectReference,
  objectPath,
  objectSchema,
  resourceName,
} from './objects.ts'

/** Objects of a cluster, with the rights of a user. All methods throw KubernetesErrors that name the object. */
export interface ClusterObjects {
  /** Undefined: there is none, or its kind is unknown to the cluster. */
  get(reference: ObjectReference): Promise<KubernetesObject | undefined>
  /** Of one namespace or of all. Undefined: the kind is unknown to the cluster. */
  list(what: Listing): Promise<readonly KubernetesObject[] | undefined>
  /** Server-side apply. */
  apply(object: KubernetesObject, options?: ApplyOptions): Promise<'created' | 'applied'>
  /** Creates it; fails if it exists. */
  create(object: KubernetesObject): Promise<KubernetesObject>
  /** False: there was none. Its dependents are removed by the cluster afterwards. */
  delete(reference: ObjectReference): Promise<boolean>
}

type Listing = Pick<ObjectReference, 'apiVersion' | 'kind'> & {
  readonly namespace?: string | undefined
  readonly labels?: Readonly<Record<string, string>>
  readonly fields?: Readonly<Record<string, string>>
}

type ApplyOptions = {
  /** It is checked and admitted, and not stored. */
  readonly isDryRun?: boolean
  /** Takes fields over that somebody else has set. */
  readonly force?: boolean
}

/** Owner of the fields that are applied. */
const fieldManager = 'kubectl-berth'

const listSchema = z.object({ items: z.array(z.looseObject({ metadata: z.unknown() })) })

/** `signal` ends requests. */
export function createClusterObjects(access: UserAccess, signal?: AbortSignal): ClusterObjects {
  const attempt = async <Result>(
    what: string,
    reference: ObjectReference,
    run: () => Promise<Result>,
  ): Promise<Result> => {
    try {
      return await run()
    } catch (error) {
      throw explained(`cannot ${what} ${describeReference(reference)}`, reference, error)
    }
  }

  return {
    get: (reference) =>
      attempt('get', reference, async () => {
        const path = objectPath(reference)
        return orUndefined(async () =>
          objectSchema.parse((await requestObject(access, { path, signal })).object),
        )
      }),

    list: async ({ apiVersion, kind, namespace, labels = {}, fields = {} }) => {
      const query = new URLSearchParams({
        ...(Object.keys(labels).length > 0 && { labelSelector: selectorOf(labels) }),
        ...(Object.keys(fields).length > 0 && { fieldSelector: selectorOf(fields) }),
      })
      const path = `${collectionPath({ apiVersion, kind }, namespace)}?${query}`
      const all = { apiVersion, kind, metadata: { name: '(all)', namespace } }
      return attempt('list', all, () =>
        orUndefined(async () => {
          const { object } = await requestObject(access, { path, signal })
          const { items } = listSchema.parse(object)
          return items.map((item) => objectSchema.parse({ ...item, apiVersion, kind }))
        }),
      )
    },

    apply: (object, { isDryRun = false, force = false } = {}) =>
      attempt('apply', object, async () => {
        const query = new URLSearchParams({
          fieldManager,
          fieldValidation: 'Strict',
          force: String(force),
          ...(isDryRun && { dryRun: 'All' }),
        })
        const { status } = await requestObject(access, {
          method: 'PATCH',
          path: `${objectPath(object)}?${query}`,
          contentType: 'application/apply-patch+yaml',
          body: object,
          signal,
        })
        return status === 201 ? 'created' : 'applied'
      }),

    create: (object) =>
      attempt('create', object, async () => {
        const query = new URLSearchParams({ fieldManager, fieldValidation: 'Strict' })
        const path = `${collectionPath(object, object.metadata.namespace)}?${query}`
        const created = await requestObject(access, { method: 'POST', path, body: object, signal })
        return objectSchema.parse(created.object)
      }),

    delete: (reference) =>
      attempt('delete', reference, async () => {
        const path = `${objectPath(reference)}?propagationPolicy=Background`
        const deleted = await orUndefined(() =>
          requestObject(access, { method: 'DELETE', path, signal }),
        )
        return deleted !== undefined
      }),
  }
}

async function orUndefined<Result>(run: () => Promise<Result>): Promise<Result | undefined> {
  try {
    return await run()
  } catch (error) {
    if (error instanceof KubernetesError && error.status === 404) return undefined
    throw error
  }
}

function selectorOf(pairs: Readonly<Record<string, string>>): string {
  return Object.entries(pairs)
    .map(([key, value]) => `${key}=${value}`)
    .join()
}

/** What was attempted, the API server's answer, which names a missing right, and what to do. */
function explained(what: string, reference: ObjectReference, error: unknown): unknown {
  if (!(error instanceof KubernetesError)) return error
  const { status, message } = error
  return new KubernetesError(`${what}: ${message}${adviceFor(status, reference)}`, {
    status,
    cause: error,
  })
}

/** Kinds that a cluster has only after something was installed. */
const missingKinds = [
  { group: 'cert-manager.io/', advice: '. Is cert-manager installed in the cluster?' },
  { group: 'berth.dev/', advice: '. Install the operator first (kubectl berth operator install)' },
]

function adviceFor(status: number | undefined, reference: ObjectReference): string {
  const { namespace } = reference.metadata
  switch (status) {
    case 403:
      return `. The user of this context needs this right on ${resourceName(reference)}${namespace === undefined ? '' : ` in ${namespace}`}`
    case 404:
      return missingKinds.find(({ group }) => reference.apiVersion.startsWith(group))?.advice ?? ''
    case 409:
      return '. Add --force-conflicts to take these fields over'
    default:
      return ''
  }
}
