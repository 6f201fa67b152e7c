import assert from 'node:assert/strict'
import { suite, test } from 'node:test'
import { parse } from 'yaml'
import { find, type Manifest, matrix, namesOf, render, threeValues } from '../support/chart.ts'

suite('who listens where', { concurrency: 2 }, () => {
  test('nodePort: a Service opens the port on all nodes, for a Deployment on no node in particular', async () => {
    const manifests = await render(threeValues)
    const { spec } = find(manifests, 'Service', 'berth')
    assert.equal(spec.type, 'NodePort')
    assert.deepEqual(spec.ports, [
      {
        name: 'registry',
        port: 30026,
        targetPort: 'registry',
        appProtocol: 'http',
        nodePort: 30026,
      },
    ])
    const pod = podOf(find(manifests, 'Deployment'))
    assert.equal(pod.hostNetwork, undefined)
    assert.equal(configOf(manifests)['listen'], ':30026')
    assert.equal(configOf(manifests)['admin'], ':9026')
  })

  test("hostPort: each node's loopback, and no NodePort beside it", async () => {
    const manifests = await render({ ...threeValues, exposure: { mode: 'hostPort' } })
    const [container] = podOf(find(manifests, 'DaemonSet')).containers
    assert.deepEqual(container.ports[0], {
      name: 'registry',
      containerPort: 30026,
      hostPort: 30026,
      hostIP: '127.0.0.1',
    })
    assert.equal(container.ports[1].hostPort, undefined)
    assert.equal(find(manifests, 'Service', 'berth').spec.type, 'ClusterIP')
    assert.equal(nodePorts(manifests).length, 0)
  })

  test('hostNetwork: Berth itself on both loopback addresses, and nothing of it elsewhere', async () => {
    const manifests = await render({ ...threeValues, exposure: { mode: 'hostNetwork' } })
    const pod = podOf(find(manifests, 'DaemonSet'))
    assert.equal(pod.hostNetwork, true)
    assert.equal(pod.dnsPolicy, 'ClusterFirstWithHostNet')
    assert.equal(configOf(manifests)['listen'], 'localhost:30026')
    assert.equal(configOf(manifests)['admin'], '127.0.0.1:9026')
    for (const probe of ['livenessProbe', 'readinessProbe', 'startupProbe'])
      assert.equal(pod.containers[0][probe].httpGet.host, '127.0.0.1', probe)
    assert.deepEqual(
      manifests.filter(({ kind }) => kind === 'Service').map(({ metadata }) => metadata.name),
      ['berth-admin'],
    )
  })

  test('mirror: a NodePort, and an agent that sends each node to its own address', async () => {
    const manifests = await render({ ...threeValues, exposure: { mode: 'mirror' } })
    assert.deepEqual(nodePorts(manifests), [30026])
    const [agent] = podOf(find(manifests, 'DaemonSet', 'berth-trust')).containers
    assert.ok(agent.args.includes('--server=http://$(NODE_IP):30026'), agent.args)
    assert.ok(agent.args.includes('--node-ip=$(NODE_IP)'), 'so that it waits 200 ms for it')
    assert.ok(agent.args.includes('--mirror=us-central1-docker.pkg.dev'), agent.args)
    assert.ok(agent.args.includes('--registry=localhost:30026'), agent.args)
    assert.deepEqual(agent.env[0], {
      name: 'NODE_IP',
      valueFrom: { fieldRef: { fieldPath: 'status.hostIP' } },
    })
  })

  test('mirror: an IPv6 address is written as one', async () => {
    const mirror = { ipFamily: 'IPv6' }
    const manifests = await render({ ...threeValues, exposure: { mode: 'mirror', mirror } })
    const [agent] = podOf(find(manifests, 'DaemonSet', 'berth-trust')).containers
    assert.ok(agent.args.includes('--server=http://[$(NODE_IP)]:30026'), agent.args)
  })

  test('service: nothing on the nodes', async () => {
    const manifests = await render({ ...threeValues, exposure: { mode: 'service' } })
    assert.deepEqual(nodePorts(manifests), [])
    assert.equal(find(manifests, 'Service', 'berth').spec.type, 'ClusterIP')
    assert.ok(!namesOf(manifests).some((name) => name.startsWith('DaemonSet')))
  })

  test('a LoadBalancer takes no ports of the nodes', async () => {
    const manifests = await render(
      matrix['a LoadBalancer with certificates of another issuer'] ?? {},
    )
    assert.equal(find(manifests, 'Service', 'berth').spec.allocateLoadBalancerNodePorts, false)
  })

  test('no two listeners of one installation have the same port of a node, in any of them', async () => {
    for (const [name, values] of Object.entries(matrix)) {
      const manifests = await render(values)
      const onNodes = [...nodePorts(manifests), ...hostPorts(manifests)]
      assert.equal(new Set(onNodes).size, onNodes.length, `${name}: ${onNodes}`)
    }
  })

  test('metrics are on no port of the nodes, but where that was asked for (K180)', async () => {
    let exposed = 0
    for (const values of Object.values(matrix)) {
      const services = (await render(values)).filter(({ kind }) => kind === 'Service')
      for (const { spec } of services.filter(({ spec }) => spec.type !== 'ClusterIP')) {
        exposed += 1
        assert.deepEqual(
          spec.ports.map(({ targetPort }: { targetPort: string }) => targetPort),
          ['registry'],
        )
      }
    }
    assert.ok(exposed > 0)
  })

  test('another port is another port everywhere outside of pods', async () => {
    const manifests = await render({
      ...threeValues,
      exposure: { mode: 'mirror', port: 30027 },
      pullSecret: { namespaces: ['default'], username: 'a', password: 'b' },
      localRegistryHosting: { enabled: true },
      tests: { doctor: { nodes: ['one'] } },
    })
    const others = manifests.filter(
      ({ kind, metadata }) => kind !== 'Deployment' && metadata.name !== 'berth',
    )
    assert.doesNotMatch(JSON.stringify(others), /30026/)
    const [port] = find(manifests, 'Service', 'berth').spec.ports
    assert.deepEqual([port.port, port.targetPort, port.nodePort], [30027, 'registry', 30027])
  })

  test('another NodePort restarts no pod, and so empties no cache', async () => {
    for (const mode of ['nodePort', 'mirror', 'service'])
      for (const kind of ['Deployment', 'DaemonSet']) {
        const [before, after] = await Promise.all(
          [30026, 30027].map((port) => render({ ...threeValues, kind, exposure: { mode, port } })),
        )
        const workload = (manifests: readonly Manifest[] = []) => find(manifests, kind, 'berth')
        assert.deepEqual(workload(after), workload(before), mode)
      }
  })

  test('pods listen where the Service looks, whatever the port is', async () => {
    for (const mode of ['nodePort', 'hostPort', 'mirror', 'service', 'hostNetwork']) {
      const port = 30_028
      const manifests = await render({ ...threeValues, exposure: { mode, port } })
      const listen = String(configOf(manifests)['listen'])
      const kind = mode.startsWith('host') ? 'DaemonSet' : 'Deployment'
      const [container] = podOf(find(manifests, kind, 'berth')).containers
      const registry = container.ports.find(({ name }: { name: string }) => name === 'registry')
      if (mode === 'hostNetwork') assert.equal(registry, undefined)
      else assert.equal(listen, `:${registry.containerPort}`)
      if (mode === 'hostPort') assert.equal(registry.hostPort, port)
    }
  })
})

suite('what a node asks of the network', () => {
  test('passes a NetworkPolicy: the port is open without `from`, metrics are not', async () => {
    const manifests = await render(
      matrix['an Ingress with certificates of our own authority'] ?? {},
    )
    const { spec } = find(manifests, 'NetworkPolicy', 'berth')
    const [registry, admin] = spec.ingress
    assert.deepEqual(registry, { ports: [{ port: 'registry', protocol: 'TCP' }] })
    assert.deepEqual(admin.ports, [{ port: 'admin', protocol: 'TCP' }])
    assert.deepEqual(admin.from.at(-1), {
      namespaceSelector: { matchLabels: { name: 'monitoring' } },
    })
    assert.deepEqual(spec.policyTypes, ['Ingress', 'Egress'])
    const agent = find(manifests, 'NetworkPolicy', 'berth-trust').spec
    assert.deepEqual(agent.ingress, [
      {
        ports: admin.ports,
        from: [{ namespaceSelector: { matchLabels: { name: 'monitoring' } } }],
      },
    ])
    const tester = find(manifests, 'Pod', 'berth-test')
    for (const [key, value] of Object.entries(admin.from[0].podSelector.matchLabels))
      assert.equal(tester.metadata.labels?.[key], value, 'helm test passes, too')
  })

  for (const [identity, values, addresses, ports] of [
    [
      "EKS Pod Identity's agent",
      { upstream: 'https://1.dkr.ecr.eu-west-1.amazonaws.com', aws: { podIdentity: true } },
      ['169.254.170.23/32', 'fd00:ec2::23/128'],
      [80],
    ],
    [
      "GKE's metadata server",
      matrix["Google's identity on GKE"],
      ['169.254.169.254/32', '169.254.169.252/32'],
      [80, 8080, 987, 988],
    ],
  ] as const)
    test(`may be asked of ${identity}, too, with restricted connections`, async () => {
      const { image, htpasswd } = threeValues
      const networkPolicy = { egress: { enabled: true } }
      const { egress } = find(
        await render({ image, htpasswd, ...values, networkPolicy }),
        'NetworkPolicy',
      ).spec
      const rules = egress.slice(2)
      const blocks = rules.flatMap(({ to }: { to: { ipBlock: { cidr: string } }[] }) =>
        to.map(({ ipBlock }) => ipBlock.cidr),
      )
      assert.deepEqual(blocks, addresses)
      assert.deepEqual(
        rules.flatMap((rule: { ports: { port: number }[] }) => rule.ports.map(({ port }) => port)),
        ports,
      )
    })

  test('is all that other pods reach: probes and metrics are closed without being asked for', async () => {
    const { spec } = find(await render(threeValues), 'NetworkPolicy')
    assert.deepEqual(spec.policyTypes, ['Ingress'])
    assert.deepEqual(spec.ingress[0], { ports: [{ port: 'registry', protocol: 'TCP' }] })
    const [tester, ...more] = spec.ingress[1].from
    assert.equal(tester.podSelector.matchLabels['app.kubernetes.io/component'], 'test')
    assert.deepEqual(more, [])
  })

  test('lets Prometheus in where it is told to scrape', async () => {
    const { spec } = find(await render(matrix['all that watches'] ?? {}), 'NetworkPolicy')
    assert.deepEqual(spec.ingress[1].from.at(-1), {
      namespaceSelector: {},
      podSelector: { matchLabels: { 'app.kubernetes.io/name': 'prometheus' } },
    })
  })

  test('meets no policy in the network of the host, where none applies', async () => {
    const manifests = await render({ ...threeValues, exposure: { mode: 'hostNetwork' } })
    assert.ok(!manifests.some(({ kind }) => kind === 'NetworkPolicy'))
  })

  test('comes in while a pod goes: it stays longer than requests may take (K161)', async () => {
    const manifests = await render({ ...threeValues, config: { shutdown: { deadline: '2m5s' } } })
    assert.deepEqual(configOf(manifests)['shutdown'], { delay: '10s', deadline: '2m5s' })
    assert.equal(podOf(find(manifests, 'Deployment')).terminationGracePeriodSeconds, 150)
  })
})

test('tools find the registry by the ConfigMap that KEP-1755 describes', async () => {
  const manifests = await render({ ...threeValues, localRegistryHosting: { enabled: true } })
  const { metadata, data } = find(manifests, 'ConfigMap', 'local-registry-hosting')
  assert.equal(metadata.namespace, 'kube-public')
  assert.deepEqual(parse(data['localRegistryHosting.v1']), {
    host: 'localhost:30026',
    hostFromClusterNetwork: 'berth.images:30026',
    hostFromContainerRuntime: 'localhost:30026',
  })
})

function podOf({ spec }: Manifest) {
  return spec.template.spec
}

function configOf(manifests: readonly Manifest[]): Readonly<Record<string, unknown>> {
  return parse(find(manifests, 'ConfigMap', 'berth').data['berth.yaml'])
}

function nodePorts(manifests: readonly Manifest[]): readonly number[] {
  return manifests
    .filter(({ kind }) => kind === 'Service')
    .flatMap(({ spec }) => spec.ports)
    .flatMap(({ nodePort }: { nodePort?: number }) => (nodePort === undefined ? [] : [nodePort]))
}

/** In the network of the host, all that a pod listens on. */
function hostPorts(manifests: readonly Manifest[]): readonly number[] {
  const pods = manifests.flatMap(({ kind, spec }) =>
    ['Deployment', 'DaemonSet'].includes(kind) ? [spec.template.spec] : [],
  )
  return pods.flatMap(({ hostNetwork, containers }) =>
    containers[0].ports.flatMap((port: { hostPort?: number; containerPort: number }) => {
      if (hostNetwork) return [port.containerPort]
      return port.hostPort === undefined ? [] : [port.hostPort]
    }),
  )
}
