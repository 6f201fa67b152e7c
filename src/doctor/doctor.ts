import type { Credentials } from '../credentials/credentials.ts'
import type { Remote } from '../remote/remote.ts'
import { type Finding, type Step, skipped } from './finding.ts'
import { checkConnection, checkName } from './network.ts'
import { checkCredentials, checkEntry, checkManifest, checkRegistry } from './registry-checks.ts'
import { createEvidence, type Evidence } from './step-recorder.ts'
import type { Target } from './target.ts'

export type { Finding } from './finding.ts'
export { examineNode, type NodeVerdict } from './node.ts'
export { findTarget, type Target } from './target.ts'

export type Patient = {
  /** `prefix` and `url` as configured. */
  readonly upstream: { readonly prefix: string; readonly url: string }
  /** What to look for there; undefined: only whether we are let in. */
  readonly target: Target | undefined
  readonly credentials: Credentials
  /** As the server has it, with every request told to `observe`. */
  readonly openRemote: (observe: (line: string) => void) => Remote
  /** The forward proxy that its url would be reached by; without user and password. */
  readonly proxy: string | undefined
}

/**
 * Walks the way of a pull: name, connection, what the registry asks for, our credentials, and then
 * the manifest and a layer, by the same code as the server's. What depends on a step that failed is
 * skipped. Never throws; never tells a secret.
 */
export async function* examine(patient: Patient): AsyncGenerator<Finding> {
  const { upstream, target, credentials, proxy } = patient
  const evidence = createEvidence()
  const remote = open(patient, evidence)
  if ('outcome' in remote) return yield remote
  const url = new URL(upstream.url)
  try {
    yield configuration(patient)
    const named = proxy === undefined ? await checkName(url, evidence) : undefined
    if (named !== undefined) yield named
    const { finding, greeting } =
      named?.outcome === 'failed'
        ? { finding: skipped('connection'), greeting: undefined }
        : await checkConnection(remote, proxy, evidence)
    yield finding
    yield greeting === undefined ? skipped('registry') : checkRegistry(greeting, url.origin)
    const credential = await checkCredentials(credentials, evidence)
    yield credential
    if (greeting === undefined || credential.outcome === 'failed') {
      const left: readonly Step[] = target === undefined ? ['entry'] : ['manifest', 'layer']
      for (const step of left) yield skipped(step)
    } else if (target === undefined) yield await checkEntry(remote, evidence)
    else yield* checkManifest(remote, target, evidence)
  } finally {
    evidence.close()
    await remote.close()
  }
}

/** The remote; a finding where a file that it needs cannot be read. */
function open({ upstream, openRemote }: Patient, evidence: Evidence): Remote | Finding {
  try {
    return openRemote(evidence.saw)
  } catch (error) {
    evidence.close()
    const advice =
      "the upstream's certificateAuthorities must name a PEM file that Berth's user can read"
    return { ...evidence.failed('configuration', upstream.url, error), advice }
  }
}

function configuration({ upstream: { prefix, url }, target }: Patient): Finding {
  const which = prefix === '' ? 'the default upstream' : `the upstream with prefix ${prefix}`
  const message =
    target === undefined
      ? `${which} is ${url}`
      : `${target.asked} is ${target.name} at ${which}, ${url}`
  return { step: 'configuration', outcome: 'ok', message, requests: [] }
}
