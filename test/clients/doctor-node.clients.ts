import assert from 'node:assert/strict'
import { writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { suite, type TestContext, test } from 'node:test'
import { main } from '../support/command.ts'
import { containerdConfig, makeRoot } from '../support/node-root.ts'
import { attempt } from '../support/programs.ts'

/** The node's address in the namespace. */
const address = '10.77.0.1'

/** Answers as a registry, and to /proxyMode as kube-proxy. */
const server = `
const { createServer } = require('node:http')
const [, , host, port, mode] = process.argv
createServer((request, response) => {
  response.setHeader('docker-distribution-api-version', 'registry/2.0')
  response.end(request.url === '/proxyMode' ? mode : '{}')
}).listen(Number(port), host, () => process.stdout.write('\\n'))
`

type Verdict = {
  readonly ok: boolean
  readonly exposure?: string
  readonly findings: readonly {
    readonly step: string
    readonly message: string
    readonly advice?: string
  }[]
}

/** Runs `berth doctor node` in a network namespace in which these commands were run. */
async function checkAfter(t: TestContext, commands: readonly string[]): Promise<Verdict> {
  const root = await makeRoot(t, {
    'etc/containerd/config.toml': containerdConfig.set,
    'etc/hosts': '127.0.0.1 localhost\n',
    proc: null,
  })
  await writeFile(join(root, 'server.cjs'), server)
  const listen = `listen() { "$NODE" "$ROOT/server.cjs" "$@" > "$ROOT/ready" & while ! [ -s "$ROOT/ready" ]; do sleep 0.1; done; rm "$ROOT/ready"; }`
  const script = [
    'set -e',
    listen,
    'mount --bind /proc "$ROOT/proc"',
    'ip link set lo up',
    `ip address add ${address}/32 dev lo`,
    ...commands,
    `"$NODE" "${main}" doctor node --root "$ROOT" --node-ip ${address} -o json || true`,
    'umount "$ROOT/proc"',
  ]
  const { status, stdout, output } = await attempt(
    [
      ...['unshare', '--net', '--mount', '--pid', '--fork', '--kill-child=KILL', '--mount-proc'],
      ...['sh', '-c', script.join('\n')],
    ],
    { environment: { ROOT: root, NODE: process.execPath } },
  )
  assert.equal(status, 0, output)
  return JSON.parse(stdout) as Verdict
}

const messagesOf = ({ findings }: Verdict, wanted: string) =>
  findings.filter(({ step }) => step === wanted).map(({ message }) => message)

suite('berth doctor node in a network namespace', () => {
  test("nftables: 127.0.0.1 times out, the node's address answers, and the runtime can use it (K169)", async (t) => {
    const verdict = await checkAfter(t, [
      'nft add table ip kube-proxy',
      `nft add chain ip kube-proxy dropped '{ type filter hook input priority 0; }'`,
      'nft add rule ip kube-proxy dropped ip daddr 127.0.0.1 tcp dport 30026 drop',
      `listen ${address} 30026`,
    ])
    assert.deepEqual(messagesOf(verdict, 'address'), [
      'http://127.0.0.1:30026: no answer within 5 seconds',
      'http://[::1]:30026: connection refused',
      `http://${address}:30026: a registry answered (200)`,
    ])
    assert.match(
      messagesOf(verdict, 'services')[0] ?? '',
      /^nftables: the nftables table kube-proxy exists/,
    )
    assert.equal(verdict.ok, false)
    assert.equal(verdict.exposure, 'mirror')
    const { advice = '' } = verdict.findings.find(({ step }) => step === 'pull') ?? {}
    assert.match(advice, /1\.37.*KubeProxyNFTablesLocalhostNodePorts.*primary,localhost/)
  })

  test('iptables with route_localnet: no address answers, and a NodePort would', async (t) => {
    const verdict = await checkAfter(t, [
      'iptables -t nat -N KUBE-NODEPORTS',
      'echo 1 > /proc/sys/net/ipv4/conf/all/route_localnet',
    ])
    assert.match(
      messagesOf(verdict, 'services')[0] ?? '',
      /^iptables: the iptables chain KUBE-NODEPORTS exists; route_localnet is on$/,
    )
    assert.equal(verdict.ok, false)
    assert.equal(verdict.exposure, 'nodePort')
  })

  test('the mode that kube-proxy reports takes precedence over rules', async (t) => {
    const verdict = await checkAfter(t, [
      'iptables -t nat -N KUBE-NODEPORTS',
      'listen 127.0.0.1 10249 ipvs',
      `listen ${address} 30026`,
    ])
    assert.match(messagesOf(verdict, 'services')[0] ?? '', /^ipvs: kube-proxy reports it at http:/)
    assert.equal(verdict.exposure, 'mirror')
  })

  test('127.0.0.1 answers: nothing has to change, in any mode', async (t) => {
    const verdict = await checkAfter(t, ['nft add table ip kube-proxy', 'listen 127.0.0.1 30026'])
    assert.equal(verdict.ok, true)
    assert.equal(verdict.exposure, undefined)
  })
})
