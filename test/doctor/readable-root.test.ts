import assert from 'node:assert/strict'
import { suite, type TestContext, test } from 'node:test'
import { checkNode, type Finding } from '../../src/doctor/doctor.ts'
import { createOutbound } from '../../src/outbound/outbound.ts'
import { createRooted, parseRegistryHost, type Rooted } from '../../src/trust/trust.ts'
import { containerdConfig, makeRoot } from '../support/node-root.ts'
import { sendJson, startWebServer } from '../support/web-server.ts'

/** A node on which even root cannot read below these paths, as with SELinux. */
async function guardedNode(t: TestContext, guarded: readonly string[]): Promise<Rooted> {
  const root = await makeRoot(t, {
    'etc/containerd/config.toml': containerdConfig.set,
    'etc/hosts': '127.0.0.1 localhost\n',
  })
  const rooted = createRooted(root)
  const guard =
    <Value>(read: (path: string) => Promise<Value>) =>
    async (path: string): Promise<Value> => {
      if (!guarded.some((below) => path.startsWith(below))) return read(path)
      throw Object.assign(new Error(`EACCES: permission denied, open '${path}'`), {
        code: 'EACCES',
      })
    }
  return {
    ...rooted,
    follow: guard(rooted.follow),
    locate: guard(rooted.locate),
    text: guard(rooted.text),
    exists: guard(rooted.exists),
    list: guard(rooted.list),
  }
}

async function check(rooted: Rooted, host: string) {
  const registry = parseRegistryHost(host)
  assert.ok(registry)
  const checks = checkNode({ rooted, registry, addresses: [], outbound: createOutbound() })
  const findings: Finding[] = []
  for (;;) {
    const { done, value } = await checks.next()
    if (done) return { verdict: value, findings }
    findings.push(value)
  }
}

suite('a node with unreadable files (EACCES)', () => {
  for (const guarded of [['/etc/containerd'], ['/etc', '/run', '/var', '/proc', '/sys']])
    test(`${guarded.join(', ')}: one finding with advice, and the pull is still checked`, async (t) => {
      const registry = await startWebServer((_, response) => {
        response.setHeader('docker-distribution-api-version', 'registry/2.0')
        sendJson(response, {})
      })
      t.after(registry.close)
      const rooted = await guardedNode(t, guarded)
      const { port } = new URL(registry.url)
      const { verdict, findings } = await check(rooted, `localhost:${port}`)
      const denied = findings.filter(({ message }) => /^no permission to read /.test(message))
      assert.equal(denied.length, 1)
      assert.match(denied[0]?.message ?? '', new RegExp(`read ${guarded[0]}\\b`))
      assert.match(denied[0]?.advice ?? '', /as root.*spc_t/)
      assert.equal(verdict.ok, true)
      assert.ok(findings.some(({ step, outcome }) => step === 'pull' && outcome === 'ok'))
    })
})
