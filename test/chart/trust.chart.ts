import assert from 'node:assert/strict'
import { suite, test } from 'node:test'
import { find, type Manifest, matrix, namesOf, render, threeValues } from '../support/chart.ts'

suite('the agent on nodes', () => {
  test('is not there unless it is wanted', async () => {
    const manifests = await render(threeValues)
    assert.ok(!namesOf(manifests).some((name) => name.includes('trust')))
  })

  test('has nothing of the node but the directories of runtimes that must be there', async () => {
    const { volumes, hostNetwork, hostPID, containers } = await agentOf({ enabled: true })
    assert.deepEqual(volumes, [
      { name: 'host-0', hostPath: { path: '/etc/containerd', type: 'Directory' } },
    ])
    assert.deepEqual([hostNetwork, hostPID], [undefined, undefined])
    const [{ securityContext, volumeMounts }] = containers
    assert.deepEqual(volumeMounts, [
      { name: 'host-0', mountPath: '/host/etc/containerd', readOnly: false },
    ])
    assert.deepEqual(securityContext.capabilities, { drop: ['ALL'] })
    assert.equal(securityContext.allowPrivilegeEscalation, false)
    assert.equal(securityContext.readOnlyRootFilesystem, true)
    assert.equal(securityContext.privileged, undefined)
  })

  test('runs everywhere, whatever a node is tainted with', async () => {
    const { tolerations } = await agentOf({ enabled: true })
    assert.deepEqual(tolerations, [{ operator: 'Exists' }])
  })

  test('may get its own DaemonSet, and nothing else', async () => {
    const manifests = await render({ ...threeValues, trust: { enabled: true } })
    assert.deepEqual(find(manifests, 'Role').rules, [
      {
        apiGroups: ['apps'],
        resources: ['daemonsets'],
        resourceNames: ['berth-trust'],
        verbs: ['get'],
      },
    ])
    assert.ok(!manifests.some(({ kind }) => kind.startsWith('ClusterRole')))
    const [{ args }] = podOf(find(manifests, 'DaemonSet')).containers
    assert.ok(args.includes('--daemonset=berth-trust'))
    assert.ok(args.includes('--namespace=images'))
  })

  test('asks nobody if what it writes is to stay', async () => {
    const manifests = await render({ ...threeValues, trust: { enabled: true, removal: false } })
    assert.ok(!manifests.some(({ kind }) => kind.startsWith('Role')))
    const { automountServiceAccountToken, containers } = podOf(find(manifests, 'DaemonSet'))
    assert.equal(automountServiceAccountToken, false)
    assert.doesNotMatch(containers[0].args.join(' '), /daemonset/)
  })

  test('leads nodes to their own localhost, by plain HTTP', async () => {
    const [{ args }] = (await agentOf({ enabled: true })).containers
    assert.deepEqual(args.slice(0, 4), [
      'trust',
      '--root=/host',
      '--registry=localhost:30026',
      '--server=http://localhost:30026',
    ])
  })

  test('by HTTPS with our authority, if we have one', async () => {
    const tls = { enabled: true, certManager: { enabled: true } }
    const { containers, volumes } = await agentOf({ enabled: true }, { tls })
    assert.ok(containers[0].args.includes('--server=https://localhost:30026'))
    assert.ok(containers[0].args.includes('--ca=/etc/berth/ca/ca.crt'))
    assert.equal(volumes.at(-1).secret.secretName, 'berth-tls')
    // cert-manager's default is a new key, which nodes would not know when it signs the first certificate.
    const authority = find(await render({ ...threeValues, tls }), 'Certificate', 'berth-ca')
    assert.equal(authority.spec.privateKey.rotationPolicy, 'Never')
  })

  test('by HTTPS with an authority that nodes know already, or the one that is named', async () => {
    const tls = { enabled: true, existingSecret: 'ours' }
    const known = await agentOf({ enabled: true }, { tls })
    assert.ok(known.containers[0].args.includes('--server=https://localhost:30026'))
    assert.equal(known.volumes.length, 1)
    const named = await agentOf({ enabled: true, caSecret: 'ours' }, { tls })
    assert.equal(named.volumes.at(-1).secret.secretName, 'ours')
  })

  test("and to an Ingress with the Ingress's authority, which is not ours", async () => {
    const values = matrix['an Ingress with certificates of our own authority'] ?? {}
    const { containers, volumes } = await agentOf({ enabled: true }, values)
    assert.ok(containers[0].args.includes('--server=https://berth.example.com'))
    assert.ok(containers[0].args.includes('--registry=berth.example.com'))
    assert.doesNotMatch(containers[0].args.join(' '), /--ca/)
    assert.equal(volumes.length, 1)
    const given = await agentOf({ enabled: true, caSecret: 'ingress-ca' }, values)
    assert.equal(given.volumes.at(-1).secret.secretName, 'ingress-ca')
    assert.ok(given.containers[0].args.includes('--ca=/etc/berth/ca/ca.crt'))
  })

  test('and to a Gateway: with our authority if it passes TLS through, else with the one that is named', async () => {
    const passed = matrix['a route that passes TLS through'] ?? {}
    const { containers, volumes } = await agentOf({ enabled: true }, passed)
    assert.ok(containers[0].args.includes('--server=https://berth.example.com'))
    assert.ok(containers[0].args.includes('--registry=berth.example.com'))
    assert.equal(volumes.at(-1).secret.secretName, 'berth-tls')
    const manifests = await render(passed)
    assert.ok(find(manifests, 'Certificate', 'berth').spec.dnsNames.includes('berth.example.com'))
    const ended = await agentOf({ enabled: true }, { exposure, route })
    assert.equal(ended.volumes.length, 1)
    const named = await agentOf({ enabled: true, caSecret: 'ours' }, { exposure, route })
    assert.equal(named.volumes.at(-1).secret.secretName, 'ours')
  })

  for (const [name, secret] of [
    ['the example with an Ingress', 'registry-tls'],
    ['the example with a Gateway', 'registry-gateway-tls'],
  ] as const)
    test(`and in ${name} by the registry's own name, with the authority of its certificate`, async () => {
      const manifests = await render(matrix[name] ?? {})
      const { containers, volumes } = podOf(find(manifests, 'DaemonSet', 'berth-trust'))
      assert.ok(containers[0].args.includes('--registry=registry.example.com'))
      assert.ok(containers[0].args.includes('--server=https://registry.example.com'))
      assert.equal(volumes.at(-1).secret.secretName, secret)
      assert.deepEqual(volumes.at(-1).secret.items, [{ key: 'ca.crt', path: 'ca.crt' }])
      const authority = find(manifests, 'Certificate', 'registry-ca').spec
      assert.equal(authority.privateKey.rotationPolicy, 'Never')
    })
})

const exposure = { mode: 'service' }
const route = { enabled: true, host: 'berth.example.com', parentRefs: [{ name: 'public' }] }

async function agentOf(trust: object, values: object = {}) {
  const manifests = await render({ ...threeValues, ...values, trust })
  return podOf(find(manifests, 'DaemonSet', 'berth-trust'))
}

function podOf({ spec }: Manifest) {
  return spec.template.spec
}
