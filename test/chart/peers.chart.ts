import assert from 'node:assert/strict'
import { test } from 'node:test'
import { find, render, threeValues } from '../support/chart.ts'

const values = { ...threeValues, peers: { enabled: true } }

test('with a Secret of its own, the chart renders the same objects without the cluster each time', async () => {
  const given = { ...values, peers: { enabled: true, existingSecret: 'shared', key: 'text' } }
  const [first, second] = await Promise.all([render(given), render(given)])
  assert.deepEqual(first, second)
  assert.ok(!first.some(({ kind }) => kind === 'Secret'))
  assert.match(
    JSON.stringify(first),
    /"name":"shared","items":\[\{"key":"text","path":"peers\/secret"/,
  )
})

test('without one, it creates a secret that cannot be guessed, and the port is open for its pods only', async () => {
  const manifests = await render(values)
  const [own, other] = [manifests, await render(values)].map(
    (each) => find(each, 'Secret', 'berth-peers')['data']['secret'],
  )
  assert.notEqual(own, other)
  assert.ok(Buffer.from(own, 'base64').length >= 48)
  const { ingress } = find(manifests, 'NetworkPolicy').spec
  const rules = ingress.filter(({ ports }: { ports: readonly { port: string }[] }) =>
    ports.some(({ port }) => port === 'peers'),
  )
  const selector = find(manifests, 'Service', 'berth-peers').spec.selector
  assert.deepEqual(
    rules.map(({ from }: { from: unknown }) => from),
    [[{ podSelector: { matchLabels: selector } }]],
  )
})
