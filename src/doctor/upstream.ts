import type { Credentials } from '../credentials/credentials.ts'
import type { Remote } from '../remote/remote.ts'
import type { Image } from './find-image.ts'
import { type Finding, type Step, skipped } from './finding.ts'
import { checkConnection, checkName } from './network.ts'
import { createStepRecorder, type StepRecorder } from './step-recorder.ts'
import { checkAccess, checkCredentials, checkManifest, checkRegistry } from './upstream-checks.ts'

export type Target = {
  /** `prefix` and `url` as configured. */
  readonly upstream: { readonly prefix: string; readonly url: string }
  /** The image to request; undefined: check only that the registry grants access. */
  readonly image: Image | undefined
  readonly credentials: Credentials
  /** Opens the upstream as the server does, and reports each request to `onRequest`. */
  readonly openRemote: (onRequest: (line: string) => void) => Remote
  /** The forward proxy for the upstream's url, without user and password. */
  readonly proxy: string | undefined
}

/**
 * Performs the steps of a pull with the server's own code: host name, connection, the registry's
 * challenge, credentials, then the manifest and a layer. A step that depends on a failed one is
 * skipped. Never throws; findings contain no secrets.
 */
export async function* checkUpstream(target: Target): AsyncGenerator<Finding> {
  const { upstream, image, credentials, proxy } = target
  const recorder = createStepRecorder()
  const remote = open(target, recorder)
  if ('outcome' in remote) return yield remote
  const url = new URL(upstream.url)
  try {
    yield configuration(target)
    const name = proxy === undefined ? await checkName(url, recorder) : undefined
    if (name !== undefined) yield name
    const { finding, ping } =
      name?.outcome === 'failed'
        ? { finding: skipped('connection'), ping: undefined }
        : await checkConnection(remote, proxy, recorder)
    yield finding
    yield ping === undefined ? skipped('registry') : checkRegistry(ping, url.origin)
    const credential = await checkCredentials(credentials, recorder)
    yield credential
    if (ping === undefined || credential.outcome === 'failed') {
      const remaining: readonly Step[] = image === undefined ? ['access'] : ['manifest', 'layer']
      for (const step of remaining) yield skipped(step)
    } else if (image === undefined) yield await checkAccess(remote, recorder)
    else yield* checkManifest(remote, image, recorder)
  } finally {
    recorder.close()
    await remote.close()
  }
}

/** The remote, or a finding if a file that it needs cannot be read. */
function open({ upstream, openRemote }: Target, recorder: StepRecorder): Remote | Finding {
  try {
    return openRemote(recorder.recordRequest)
  } catch (error) {
    recorder.close()
    const advice =
      "set the upstream's certificateAuthorities to a PEM file that Berth's user can read"
    return {
      ...recorder.failed('configuration', `preparing requests to ${upstream.url}`, error),
      advice,
    }
  }
}

function configuration({ upstream: { prefix, url }, image }: Target): Finding {
  const which = prefix === '' ? 'the default upstream' : `the upstream with prefix ${prefix}`
  const message =
    image === undefined
      ? `${which} is ${url}`
      : `${image.requested} is ${image.name} of ${which}, ${url}`
  return { step: 'configuration', outcome: 'ok', message, requests: [] }
}
