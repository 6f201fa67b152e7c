import assert from 'node:assert/strict'
import { suite, test } from 'node:test'
import { find, matrix, render, template, threeValues } from '../support/chart.ts'

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

  test('needs a user', async () => {
    const { status, output } = await template({ ...threeValues, spool: { enabled: true } })
    assert.notEqual(status, 0)
    assert.match(output, /spool\.user and spool\.passwordSecret/)
  })
})
