import assert from 'node:assert/strict'
import { test } from 'node:test'
import { makeImages, sizeOf } from './images.ts'
import { type Scenario, simulate } from './model.ts'

const images = makeImages(4, 7)
const layers = new Set(images.flat().map(({ id }) => id)).size
const scenario: Scenario = {
  images,
  nodes: 60,
  spread: 1,
  replicas: 5,
  owners: false,
  warm: false,
  parallel: 3,
  nodeRate: 1e9,
  replicaRate: 1e9,
  cores: 1,
  sendCost: 0.2e-9,
  fillCost: 3e-9,
  upstreamRate: 1e8,
  connectionRate: 5e7,
  delay: 0.001,
  upstreamDelay: 0.02,
  unpackRate: 1e8,
  seed: 1,
}

/** What no way of distributing the images changes: each node gets each layer once, and a replica sends only what it has. */
function checkBytes(given: Scenario) {
  const outcome = simulate(given)
  const size = sizeOf(images)
  assert.equal(outcome.receivedBytes, given.nodes * size)
  const sent = outcome.replicas.reduce((sum, each) => sum + each.sent, 0)
  assert.equal(sent, outcome.receivedBytes + outcome.peerBytes)
  for (const { network, cpu } of outcome.replicas)
    assert.ok(network <= 1.000_001 && cpu >= 0 && Number.isFinite(cpu), `${network} ${cpu}`)
  return outcome
}

test('with owners, each blob is transferred from the upstream once, and once to each replica that is asked for it', () => {
  for (const replicas of [1, 2, 5]) {
    const outcome = checkBytes({ ...scenario, replicas, owners: true })
    assert.equal(outcome.upstreamTransfers, layers)
    assert.equal(outcome.upstreamBytes, sizeOf(images))
    assert.ok(outcome.peerBytes <= (replicas - 1) * sizeOf(images))
  }
})

test('without owners, each replica asks the upstream for each blob', () => {
  const outcome = checkBytes(scenario)
  assert.equal(outcome.upstreamTransfers, layers * scenario.replicas)
  assert.equal(outcome.peerBytes, 0)
})

test('replicas that have everything ask nobody', () => {
  const outcome = checkBytes({ ...scenario, warm: true, owners: true })
  assert.deepEqual([outcome.upstreamBytes, outcome.peerBytes], [0, 0])
})

test('the same seed gives the same result, and another one another', () => {
  assert.deepEqual(simulate(scenario), simulate(scenario))
  assert.notEqual(simulate(scenario).lastPod, simulate({ ...scenario, seed: 2 }).lastPod)
})

test('it takes no longer with more of anything, and no less than the narrowest part needs', () => {
  const { lastPod } = simulate(scenario)
  const faster: Partial<Scenario>[] = [
    { nodeRate: 4e9 },
    { replicaRate: 4e9, sendCost: 0.05e-9 },
    { upstreamRate: 4e8, connectionRate: 2e8 },
    { unpackRate: 4e8 },
    { warm: true },
    { owners: true },
  ]
  for (const change of faster)
    assert.ok(simulate({ ...scenario, ...change }).lastPod <= lastPod, JSON.stringify(change))
  for (const nodes of [120, 240])
    assert.ok(simulate({ ...scenario, nodes }).lastPod >= lastPod, `${nodes} nodes`)
  const size = sizeOf(images)
  assert.ok(lastPod >= size / scenario.unpackRate)
  assert.ok(lastPod >= (size * scenario.replicas) / scenario.upstreamRate)
  const { lastPod: alone } = simulate({ ...scenario, replicas: 1 })
  assert.ok(alone >= (scenario.nodes * size) / scenario.replicaRate)
})

test('one node with one layer takes as long as its parts, one after another', () => {
  const layer = { id: 1, size: 1e8 }
  const { lastPod } = simulate({
    ...{ ...scenario, images: [[layer]], nodes: 1, spread: 0, replicas: 1 },
    ...{ upstreamRate: 1e9, connectionRate: 1e8, fillCost: 1e-9 },
  })
  const { delay, upstreamDelay, connectionRate, unpackRate } = scenario
  const expected =
    3 * delay + upstreamDelay + layer.size / (2 * connectionRate) + layer.size / unpackRate
  assert.ok(Math.abs(lastPod - expected) < 1e-6, `${lastPod}, not ${expected}`)
})
