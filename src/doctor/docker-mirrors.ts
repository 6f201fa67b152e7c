import type { Rooted } from '../trust/trust.ts'
import type { Finding } from './finding.ts'
import type { HostLookup } from './host-lookup.ts'
import { describeAnswer, type ProbeAnswer, probe } from './probe.ts'

type Options = { readonly rooted: Rooted; readonly lookup: HostLookup }

/**
 * Whether dockerd pulls Docker Hub's images through the `registry-mirrors` of its daemon.json. It
 * silently skips a mirror that does not answer or that requires a password, because it sends none.
 */
export async function* checkDockerMirrors({ rooted, lookup }: Options): AsyncGenerator<Finding> {
  for (const url of mirrorsIn(await rooted.text('/etc/docker/daemon.json'))) {
    const answer = await probeMirror(new URL(url), lookup)
    const isUsed = answer.kind === 'registry' && answer.status === 200
    const message = isUsed
      ? `docker pulls Docker Hub's images through ${url}`
      : `docker skips the registry mirror ${url}: ${describeAnswer(answer)}`
    const advice = isUsed ? undefined : adviceFor(answer)
    const outcome = isUsed ? 'ok' : 'skipped'
    yield { step: 'runtime', outcome, message, advice, requests: [] }
  }
}

function adviceFor(answer: ProbeAnswer): string | undefined {
  if (answer.kind !== 'registry') return undefined
  return "docker sends no password to a mirror: add a mirror listener to Berth's configuration (mirrors: [{ listen: localhost:30027 }]) and use its address in daemon.json"
}

function mirrorsIn(text: string | undefined): readonly string[] {
  const [, list = ''] = /"registry-mirrors"\s*:\s*\[([^\]]*)\]/.exec(text ?? '') ?? []
  const urls = [...list.matchAll(/"([^"]*)"/g)].map(([, url = '']) => url)
  return urls.filter((url) => /^https?:$/.test(URL.parse(url)?.protocol ?? ''))
}

/** The first address that accepts the connection decides, as for dockerd. */
async function probeMirror(
  { protocol, host, hostname, port }: URL,
  lookup: HostLookup,
): Promise<ProbeAnswer> {
  const scheme = protocol === 'http:' ? 'http' : 'https'
  const options = { port: Number(port || (scheme === 'http' ? 80 : 443)), scheme, host } as const
  let answer: ProbeAnswer = { kind: 'failed', reason: `cannot resolve ${hostname}` }
  for (const address of await lookup(hostname)) {
    answer = await probe({ ...options, address })
    if (answer.kind !== 'refused' && answer.kind !== 'timeout') break
  }
  return answer
}
