import { execFile } from 'node:child_process'
import { promisify } from 'node:util'
import { type Outbound, requestWhole } from '../outbound/outbound.ts'
import type { Rooted } from '../trust/trust.ts'

/** What forwards connections to Services on a node: a mode of kube-proxy, or Cilium. */
export type ProxyMode = 'iptables' | 'nftables' | 'ipvs' | 'cilium' | 'unknown'

/** Where kube-proxy reports its mode. */
const proxyModeUrl = 'http://127.0.0.1:10249/proxyMode'
/** Of a request and of a program, in milliseconds. */
const timeout = 5000
/** Of an answer, in bytes. */
const maxBytes = 1000
const run = promisify(execFile)

/** Requests the mode from kube-proxy; without an answer, looks for the interfaces and rules of each mode. */
export async function findProxyMode(
  rooted: Rooted,
  outbound: Outbound,
  url = proxyModeUrl,
): Promise<{ readonly mode: ProxyMode; readonly source: string }> {
  const answer = await getText(outbound, url)
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

/** Undefined without an answer of 200. kube-proxy listens on this node, which no proxy reaches. */
async function getText(outbound: Outbound, url: string): Promise<string | undefined> {
  const connections = outbound.open({ timeout, direct: true })
  try {
    const signal = AbortSignal.timeout(timeout)
    const answer = await requestWhole(connections, { url: new URL(url), signal, maxBytes })
    return answer.status === 200 ? answer.body.toString() : undefined
  } catch {
    return undefined
  } finally {
    await connections.destroy()
  }
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
