import { createJsonApi } from '../../api/api.ts'
import type { Site } from '../../http/http.ts'
import type { Telemetry } from '../../telemetry/telemetry.ts'
import { openPage } from '../../ui/ui.ts'

type SitesOptions = Parameters<typeof createJsonApi>[0] & { readonly telemetry: Telemetry }

/** The API of the page, and the page, unless it was not built: `npm run berth` needs no build. */
export async function openSites({ telemetry, ...options }: SitesOptions): Promise<readonly Site[]> {
  const api = createJsonApi({ telemetry, ...options })
  try {
    return [api, await openPage()]
  } catch (err) {
    telemetry.log.info({ err }, 'the page is not served, because it was not built: npm run build')
    return [api]
  }
}
