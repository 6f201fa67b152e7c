import assert from 'node:assert/strict'
import { suite, test } from 'node:test'
import { parse } from 'yaml'
import { renderCluster, tools } from '../../src/kind/cluster-config.ts'

const shape = { name: 'dev', workers: 2, port: 5001, server: 'http://berth-kind:30026' }

suite('the configuration of a local cluster', () => {
  test('has one control plane and the workers', () => {
    const kind = parse(renderCluster('kind', shape))
    const roles = kind.nodes.map(({ role }: { role: string }) => role)
    assert.deepEqual(roles, ['control-plane', 'worker', 'worker'])
    assert.equal(kind.name, 'dev')
    const k3d = parse(renderCluster('k3d', shape))
    assert.equal(k3d.servers + k3d.agents, 3)
    assert.equal(parse(renderCluster('ctlptl', shape)).kindV1Alpha4Cluster.nodes.length, 3)
  })

  test('lets containerd read the files that send pulls to the registry', () => {
    const [patch] = parse(renderCluster('kind', shape)).containerdConfigPatches
    assert.match(patch, /config_path = "\/etc\/containerd\/certs\.d"/)
    const { mirrors } = parse(parse(renderCluster('k3d', shape)).registries.config)
    for (const host of ['localhost:5001', '*'])
      assert.deepEqual(mirrors[host], { endpoint: [shape.server] })
  })

  test('says in a comment how to use it', () => {
    for (const tool of tools) assert.match(renderCluster(tool, shape), /^# .*(kind|k3d|ctlptl) /)
  })
})
