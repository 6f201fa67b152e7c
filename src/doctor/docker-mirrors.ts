import type { Rooted } from '../trust/trust.ts'
import type { Finding } from './finding.ts'
import type { Names } from './host-lookup.ts'
import { type Answer, ask, describeAnswer } from './probe.ts'

type Options = { readonly rooted: Rooted; readonly names: Names }

/**
 * Whether dockerd pulls Docker Hub's images through the `registry-mirrors` of its daemon.json. It skips
 * a mirror in silence that does not answer, or that asks for a password: it shows one none.
 */
export async function* examineDockerMirrors({ rooted, names }: Options): AsyncGenerator<Finding> {
  for (const url of mirrorsIn(await rooted.text('/etc/docker/daemon.json'))) {
    const answer = await askMirror(new URL(url), names)
    const isUsed = answer.kind === 'registry' && answer.status === 200
    const message = isUsed
      ? `docker pulls Docker Hub's images through ${url}`
      : `docker skips ${url} (registry-mirrors): ${describeAnswer(answer)}`
    const advice = isUsed ? undefined : adviceOn(answer)
    const outcome = isUsed ? 'ok' : 'skipped'
    yield { step: 'runtime', outcome, message, advice, requests: [] }
  }
}

function adviceOn(answer: Answer): string | undefined {
  if (answer.kind !== 'registry') return undefined
  return 'docker shows a mirror no password: give Berth a listener for it (mirrors: [{ listen: localhost:30027 }]), and name that one in daemon.json'
}

function mirrorsIn(text: string | undefined): readonly string[] {
  const [, list = ''] = /"registry-mirrors"\s*:\s*\[([^\]]*)\]/.exec(text ?? '') ?? []
  const urls = [...list.matchAll(/"([^"]*)"/g)].map(([, url = '']) => url)
  return urls.filter((url) => /^https?:$/.test(URL.parse(url)?.protocol ?? ''))
}

/** The first address that takes the connection decides. */
async function askMirror({ protocol, host, hostname, port }: URL, names: Names): Promise<Answer> {
  const scheme = protocol === 'http:' ? 'http' : 'https'
  const question = { port: Number(port || (scheme === 'http' ? 80 : 443)), scheme, host } as const
  let answer: Answer = { kind: 'failed', reason: `${hostname} has no address` }
  for (const address of await names(hostname)) {
    answer = await ask({ ...question, address })
    if (answer.kind !== 'refused' && answer.kind !== 'silent') break
  }
  return answer
}
