import assert from 'node:assert/strict'
import { suite, test } from 'node:test'
import { find, matrix, render, template, type Values } from '../support/chart.ts'

const values = matrix['a spooler beside hosted repositories'] ?? {}

suite('a spooler', () => {
  test('is a native sidecar with a volume and a password file of its own', async () => {
    const { spec } = find(await render(values), 'Deployment').spec.template
    const [spooler] = spec.initContainers
    assert.equal(spooler.name, 'spooler')
    assert.equal(spooler.restartPolicy, 'Always')
    assert.deepEqual(spooler.args, ['spool'])
    const variables = Object.fromEntries(
      spooler.env.map(({ name, value }: { name: string; value: string }) => [name, value]),
    )
    assert.equal(variables['REGISTRY_SPOOLER_REGISTRY'], 'localhost:30026')
    assert.equal(variables['REGISTRY_SPOOLER_PREFIX'], 'local/team')
    assert.equal(variables['REGISTRY_SPOOLER_PASSWORD_FILE'], '/etc/berth-spool/password')
    const volumes = Object.fromEntries(
      spec.volumes.map((volume: { name: string }) => [volume.name, volume]),
    )
    assert.equal(volumes['spool'].emptyDir.sizeLimit, '20Gi')
    assert.equal(volumes['spool-password'].secret.secretName, 'spool-login')
    const [berth] = spec.containers
    assert.ok(
      !berth.volumeMounts.some(({ name }: { name: string }) => name.startsWith('spool')),
      'Berth itself has neither',
    )
  })

  test('is scraped, and reachable for monitoring only', async () => {
    const manifests = await render(values)
    const { podMetricsEndpoints } = find(manifests, 'PodMonitor').spec
    assert.deepEqual(
      podMetricsEndpoints.map(({ port }: { port: string }) => port),
      ['admin', 'spool'],
    )
    const [all, some] = find(manifests, 'NetworkPolicy').spec.ingress
    assert.deepEqual(all.ports, [{ port: 'registry', protocol: 'TCP' }])
    assert.ok(some.from.length > 0)
    assert.deepEqual(
      some.ports.map(({ port }: { port: string }) => port),
      ['admin', 'spool'],
    )
  })

  const refused: readonly (readonly [string, Values, RegExp])[] = [
    ['without a user', { spool: { enabled: true } }, /spool\.user and spool\.passwordSecret/],
    ['without hosted repositories', { hosted: { enabled: false } }, /needs hosted\.enabled/],
    [
      'on the host network',
      {
        exposure: { mode: 'hostNetwork' },
        hosted: { enabled: false },
        metrics: {},
        spool: { enabled: true, user: 'spool', passwordSecret: 'spool-login', prefix: 'team' },
      },
      /spooler's port/,
    ],
    [
      'with TLS',
      { tls: { enabled: true, existingSecret: 'tls' } },
      /spool\.enabled and tls\.enabled/,
    ],
  ]
  for (const [what, changed, message] of refused)
    test(`is refused ${what}`, async () => {
      const { spool, ...rest } = values
      const base = 'spool' in changed ? rest : { ...rest, spool }
      const { status, output } = await template({ ...base, ...changed })
      assert.notEqual(status, 0)
      assert.match(output, message)
    })
})
