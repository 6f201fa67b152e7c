import assert from 'node:assert/strict'
import { suite, test } from 'node:test'
import { find, matrix, render, template, type Values } from '../support/chart.ts'

const values = matrix['a spooler beside hosted repositories'] ?? {}
const spoolValues = { enabled: true, user: 'spool', passwordSecret: 'spool-login' }

/** The pod, and the variables of its spooler. */
async function podOf(of: string) {
  const manifests = await render(matrix[of] ?? {})
  const { spec } = find(manifests, 'Deployment').spec.template
  const [{ env, volumeMounts }] = spec.initContainers
  const variables = Object.fromEntries(
    env.map(({ name, value }: { name: string; value: string }) => [name, value]),
  )
  const volumes = Object.fromEntries(
    spec.volumes.map((volume: { name: string }) => [volume.name, volume]),
  )
  return { manifests, spec, variables, volumes, volumeMounts }
}

suite('a spooler', () => {
  test('is a native sidecar with a volume and a password file of its own', async () => {
    const { spec } = find(await render(values), 'Deployment').spec.template
    const [spooler] = spec.initContainers
    assert.equal(spooler.name, 'spooler')
    assert.equal(spooler.restartPolicy, 'Always')
    assert.deepEqual(spooler.args, ['spool', '--compression', 'zstd'])
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

  test('has a claim of its own, which stays, and trusts the authority of the release', async () => {
    const { manifests, spec, variables, volumes } = await podOf('a spooler on a volume, over TLS')
    const claim = find(manifests, 'PersistentVolumeClaim', 'berth-spool')
    assert.equal(claim.metadata.annotations?.['helm.sh/resource-policy'], 'keep')
    assert.deepEqual(claim.spec, {
      accessModes: ['ReadWriteOnce'],
      storageClassName: 'fast',
      resources: { requests: { storage: '30Gi' } },
    })
    assert.deepEqual(volumes['spool'].persistentVolumeClaim, { claimName: 'berth-spool' })
    assert.equal(variables['REGISTRY_SPOOLER_REGISTRY'], 'https://localhost:30026')
    assert.equal(variables['REGISTRY_SPOOLER_CERTIFICATE'], '/etc/berth-spool-ca/ca.crt')
    assert.deepEqual(volumes['spool-ca'].secret, {
      secretName: 'berth-tls',
      items: [{ key: 'ca.crt', path: 'ca.crt' }],
    })
    assert.equal(spec.hostAliases, undefined)
    const { dnsNames } = find(manifests, 'Certificate', 'berth').spec
    assert.ok(dnsNames.includes('localhost'))
  })

  test('several share a volume, and reach their pods by a name of the certificate', async () => {
    const { manifests, spec, variables, volumes } = await podOf(
      'spoolers on a shared volume, for an upstream that takes pushes',
    )
    assert.ok(!manifests.some(({ kind }) => kind === 'PersistentVolumeClaim'))
    assert.equal(find(manifests, 'Deployment').spec.strategy.type, 'RollingUpdate')
    assert.deepEqual(volumes['spool'].persistentVolumeClaim, { claimName: 'spool' })
    assert.equal(variables['REGISTRY_SPOOLER_REGISTRY'], 'https://berth.example.com:30026')
    assert.equal(volumes['spool-ca'].secret.secretName, 'tls')
    assert.deepEqual(spec.hostAliases, [{ ip: '127.0.0.1', hostnames: ['berth.example.com'] }])
  })

  test('is scraped through the Service as well', async () => {
    const { manifests } = await podOf('a spooler on a volume, over TLS')
    const { endpoints } = find(manifests, 'ServiceMonitor').spec
    assert.deepEqual(
      endpoints.map(({ port }: { port: string }) => port),
      ['admin', 'spool'],
    )
    const { ports } = find(manifests, 'Service', 'berth-admin').spec
    assert.deepEqual(ports[1], { name: 'spool', port: 8086, targetPort: 'spool' })
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
      'with a certificate that it cannot verify',
      { tls: { enabled: true, existingSecret: 'tls' } },
      /set spool\.tls\.caSecret .* spool\.tls\.serverName/,
    ],
    [
      'with values for TLS and without TLS',
      { spool: { ...spoolValues, tls: { caSecret: 'tls' } } },
      /spool\.tls has no effect without tls\.enabled/,
    ],
    [
      'with a volume that its pods cannot share',
      {
        hosted: { enabled: false },
        replicas: 2,
        spool: { ...spoolValues, prefix: 'team', persistence: { enabled: true } },
      },
      /spool\.persistence: several pods .*ReadWriteMany/,
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
