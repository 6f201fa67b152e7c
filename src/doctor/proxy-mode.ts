import { execFile } from 'node:child_process'
import { request } from 'node:http'
import { promisify } from 'node:util'
import type { Rooted } from '../trust/trust.ts'

/** What forwards connections to Services on a node: a mode of kube-proxy, or Cilium. */
export type ProxyMode = 'iptables' | 'nftables' | 'ipvs' | 'cilium' | 'unknown'

/** Where kube-proxy reports its mode. */
const proxyModeUrl = 'http://127.0.0.1:10249/proxyMode'
/** Milliseconds. */
const timeout = 5000
const run = promisify(execFile)

/** Requests the mode from kube-proxy; without an answer, looks for the interfaces and rules of each mode. */
export async function findProxyMode(
  rooted: Rooted,
  url = proxyModeUrl,
): Promise<{ readonly mode: ProxyMode; readonly source: string }> {
  const answer = await getText(url)
  const mode = modes.find((each) => each === answer?.trim())
  if (mode !== undefined) return { mode, source: `kube-proxy reports it at ${url}` }
  const interfaces = await rooted.list('/sys/class/net')
  if (interfaces.includes('kube-ipvs0'))
    return { mode: 'ipvs', source: 'the interface kube-ipvs0 exists' }
  if ((await output('nft', ['list', 'tables'])).includes('kube-proxy'))
    return { mode: 'nftables', source: 'the nftables table kube-proxy exists' }
  for (const program of ['iptables-save', 'iptables-legacy-save', 'iptables-nft-save'])
    if ((await output(program, ['-t', 'nat'])).includes('KUBE-NODEPORTS'))
      return { mode: 'iptables', source: 'the iptables chain KUBE-NODEPORTS exists' }
  // Last, because Cilium may run beside kube-proxy.
  if (interfaces.includes('cilium_host'))
    return { mode: 'cilium', source: 'the interface cilium_host exists' }
  const source = `no answer from ${url}, and no rules of kube-proxy or Cilium are visible`
  return { mode: 'unknown', source }
}

const modes = ['iptables', 'nftables', 'ipvs'] as const

function getText(url: string): Promise<string | undefined> {
  const got = Promise.withResolvers<string | undefined>()
  const sent = request(url, { agent: false, signal: AbortSignal.timeout(timeout) }, (response) => {
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

/** Empty if the program does not exist or lacks permission. */
async function output(program: string, args: readonly string[]): Promise<string> {
  try {
    const { stdout } = await run(program, args, { timeout, maxBuffer: 64 * 1024 * 1024 })
    return stdout
  } catch {
    return ''
  }
}
