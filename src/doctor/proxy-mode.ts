import { execFile } from 'node:child_process'
import { request } from 'node:http'
import { promisify } from 'node:util'
import type { Rooted } from '../trust/trust.ts'

/** How a node leads connections to services, as far as it shows. */
export type ProxyMode = 'iptables' | 'nftables' | 'ipvs' | 'cilium' | 'unknown'

/** Where kube-proxy tells its mode. */
const told = 'http://127.0.0.1:10249/proxyMode'
/** Milliseconds. */
const patience = 5000
const run = promisify(execFile)

/** Asks kube-proxy, or looks for what it leaves behind; and says how that was known. */
export async function findProxyMode(
  rooted: Rooted,
  url = told,
): Promise<{ readonly mode: ProxyMode; readonly source: string }> {
  const answer = await getText(url)
  const mode = modes.find((each) => each === answer?.trim())
  if (mode !== undefined) return { mode, source: `${url} says so` }
  const interfaces = await rooted.list('/sys/class/net')
  if (interfaces.includes('kube-ipvs0')) return { mode: 'ipvs', source: 'there is kube-ipvs0' }
  if ((await output('nft', ['list', 'tables'])).includes('kube-proxy'))
    return { mode: 'nftables', source: 'there is a table kube-proxy' }
  for (const program of ['iptables-save', 'iptables-legacy-save', 'iptables-nft-save'])
    if ((await output(program, ['-t', 'nat'])).includes('KUBE-NODEPORTS'))
      return { mode: 'iptables', source: 'there is a chain KUBE-NODEPORTS' }
  // Last: it may leave services to kube-proxy.
  if (interfaces.includes('cilium_host')) return { mode: 'cilium', source: 'there is cilium_host' }
  return { mode: 'unknown', source: `${url} does not answer, and no rules can be seen` }
}

const modes = ['iptables', 'nftables', 'ipvs'] as const

function getText(url: string): Promise<string | undefined> {
  const got = Promise.withResolvers<string | undefined>()
  const sent = request(url, { agent: false, signal: AbortSignal.timeout(patience) }, (response) => {
    let text = ''
    response.setEncoding('utf8')
    response.on('data', (part: string) => {
      text += part
      if (text.length > 1000) response.destroy()
    })
    response.on('error', () => got.resolve(undefined))
    response.on('close', () => got.resolve(response.statusCode === 200 ? text : undefined))
  })
  sent.on('error', () => got.resolve(undefined))
  sent.end()
  return got.promise
}

/** Nothing, where there is no such program, or it may not look. */
async function output(program: string, args: readonly string[]): Promise<string> {
  try {
    const { stdout } = await run(program, args, { timeout: patience, maxBuffer: 64 * 1024 * 1024 })
    return stdout
  } catch {
    return ''
  }
}
