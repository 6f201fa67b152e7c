import type { Config } from '../config/config.ts'
import type { InUse } from '../in-use/in-use.ts'
import { createLeases } from '../registry/registry.ts'
import { createHostedStore } from '../store/store.ts'
import type { Telemetry } from '../telemetry/telemetry.ts'
import { hostedRootOf } from './hosted-root.ts'

/** Milliseconds between "it exists" and a manifest that relies on it. */
const leaseLife = 24 * 60 * 60 * 1000

type HostedOptions = {
  readonly config: Config
  readonly inUse: InUse
  readonly telemetry: Telemetry
}

/** Opens all parts of hosted repositories, except what speaks to clients. */
export async function openHosted({ config, inUse, telemetry }: HostedOptions) {
  const { readOnly, uploadExpiry } = config.storage.hosted
  const store = await createHostedStore({ root: hostedRootOf(config), telemetry })
  const leases = createLeases({ life: leaseLife, now: Date.now })
  const prefixes = config.hosted.map(({ anonymous, ...hosted }) => ({
    ...hosted,
    anonymous: anonymous === 'pull',
  }))
  return {
    registry: { prefixes, store, index: undefined, leases, inUse, readOnly, uploadExpiry },
    problem: store.problem,
    close: store.close,
  }
}
