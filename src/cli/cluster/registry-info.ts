import { z } from 'zod'
import { createOutbound, requestWhole } from '../../outbound/outbound.ts'
import type { ClusterRegistry } from './cluster-registry.ts'

/** What a registry answers now. */
export type RegistryInfo = {
  /** In image names of pods. */
  readonly host: string
  readonly status: number
  readonly answers: boolean
  /** The implementation, if it says. */
  readonly server: string | null
  readonly features: Readonly<Record<Feature, FeatureState>>
}
type Feature = 'catalog' | 'referrers' | 'delete'
/** `denied`: this login may not use it, or it is not said to whom. */
type FeatureState = 'yes' | 'no' | 'denied'

type Answer = { readonly status: number; readonly text: string }

/** Milliseconds for each answer. */
const timeout = 30_000
const maxBytes = 256 * 1024
/** A digest that no content has: requests about it change nothing. */
const noDigest = `sha256:${'0'.repeat(64)}`
const noRepository = 'berth-probe'

const catalogSchema = z.object({ repositories: z.array(z.string()).nullish() })

/**
 * Asks a registry what it can, by requests that change nothing: the deletion is that of a manifest that no registry
 * has.
 */
export async function readRegistryInfo(
  registry: Pick<ClusterRegistry, 'host' | 'scheme' | 'open' | 'hosted'>,
  signal: AbortSignal,
): Promise<RegistryInfo> {
  const connections = createOutbound({ tunnel: registry }).open({ timeout, direct: true })
  const ask = async (path: string, method = 'GET') => {
    const url = new URL(`${registry.scheme}://${registry.host}/v2/${path}`)
    const until = AbortSignal.any([signal, AbortSignal.timeout(timeout)])
    const answer = await requestWhole(connections, { url, method, maxBytes, signal: until })
    return { status: answer.status, text: answer.body.toString('utf8'), headers: answer.headers }
  }
  try {
    const root = await ask('')
    const catalog = await ask('_catalog?n=1')
    const [prefix = ''] = registry.hosted
    const name = repositoryIn(catalog) ?? [prefix, noRepository].filter(Boolean).join('/')
    return {
      host: registry.host,
      status: root.status,
      answers: root.status === 200,
      server: root.headers['server'] ?? null,
      features: {
        catalog: stateOf(catalog, [200]),
        // The list of what refers to a manifest that is not there is empty (distribution-spec 1.1).
        referrers: stateOf(await ask(`${name}/referrers/${noDigest}`), [200]),
        delete: stateOf(await ask(`${name}/manifests/${noDigest}`, 'DELETE'), [202, 404]),
      },
    }
  } finally {
    await connections.destroy()
  }
}

function repositoryIn({ status, text }: Answer): string | undefined {
  if (status !== 200) return undefined
  try {
    return catalogSchema.safeParse(JSON.parse(text)).data?.repositories?.[0]
  } catch {
    return undefined
  }
}

function stateOf({ status }: Answer, meaningYes: readonly number[]): FeatureState {
  if (meaningYes.includes(status)) return 'yes'
  return status === 401 || status === 403 ? 'denied' : 'no'
}
