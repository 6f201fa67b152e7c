import assert from 'node:assert/strict'
import { test } from 'node:test'
import { accepted, type Findings, refused, statusOf } from '../../src/operator/status.ts'
import { findPod, surrogatePod } from '../../src/operator/surrogate-pod.ts'

const metadata = { name: 'team', namespace: 'apps', uid: 'u', generation: 2, resourceVersion: '1' }
const is = (reason: string) => ({ status: 'True', reason, message: reason }) as const
const good: Findings = {
  accepted,
  deployed: is('Running'),
  reachable: is('Answers'),
  authenticated: is('LoggedIn'),
}

test('a condition keeps its time as long as its status is the same', () => {
  const at = (status: object, findings: Findings, now: string) =>
    statusOf({
      registry: { metadata, status },
      findings,
      place: undefined,
      surrogate: 'team-surrogate',
      now: new Date(now),
    })
  const first = at({}, good, '2026-01-01T00:00:00.123Z')
  assert.equal(first.observedGeneration, 2)
  const times = (status: typeof first) =>
    Object.fromEntries(
      status.conditions?.map(({ type, lastTransitionTime }) => [type, lastTransitionTime]) ?? [],
    )
  assert.equal(times(first)['Ready'], '2026-01-01T00:00:00Z')
  const denied = { status: 'False', reason: 'LoginDenied', message: 'wrong password' } as const
  const second = at(first, { ...good, authenticated: denied }, '2026-01-02T00:00:00Z')
  assert.equal(times(second)['Reachable'], '2026-01-01T00:00:00Z')
  assert.equal(times(second)['Authenticated'], '2026-01-02T00:00:00Z')
  assert.deepEqual(
    second.conditions?.find(({ type }) => type === 'Ready'),
    {
      type: 'Ready',
      ...denied,
      observedGeneration: 2,
      lastTransitionTime: '2026-01-02T00:00:00Z',
    },
  )
  assert.deepEqual(at(second, { ...good, authenticated: denied }, '2026-01-03T00:00:00Z'), second)
})

test('a Registry that cannot be used says why in Accepted and Ready', () => {
  const findings = refused({ reason: 'BerthNotFound', message: 'install Berth' })
  const { conditions = [] } = statusOf({
    registry: { metadata, status: {} },
    findings,
    place: undefined,
    surrogate: 'x',
    now: new Date(),
  })
  const of = (type: string) => conditions.find((condition) => condition.type === type)
  assert.deepEqual([of('Accepted')?.status, of('Accepted')?.reason], ['False', 'BerthNotFound'])
  assert.deepEqual([of('Ready')?.status, of('Ready')?.message], ['False', 'install Berth'])
  assert.equal(of('Reachable')?.status, 'Unknown')
})

const pod = (config: string, status: object, more: object = {}) =>
  surrogatePod.parse({
    metadata: {
      name: `p-${config}`,
      namespace: 'apps',
      labels: { 'berth.dev/config': config },
      ...more,
    },
    status,
  })
const ready = { podIP: '10.0.0.1', conditions: [{ type: 'Ready', status: 'True' }] }

test('only a pod with the present configuration counts', () => {
  const found = findPod([pod('old', ready), pod('new', ready)], 'new')
  assert.equal(found.pod?.metadata.name, 'p-new')
  assert.equal(found.deployed.status, 'True')
  const gone = pod('new', ready, { deletionTimestamp: '2026-01-01T00:00:00Z' })
  assert.deepEqual(findPod([pod('old', ready), gone], 'new').deployed.reason, 'Starting')
})

test('why a pod does not start is said', () => {
  const waiting = { waiting: { reason: 'ImagePullBackOff', message: 'Back-off pulling x' } }
  const stuck = pod('a', { containerStatuses: [{ name: 'berth', state: waiting }] })
  assert.equal(findPod([stuck], 'a').deployed.reason, 'ImagePullBackOff')
  assert.match(
    findPod([stuck], 'a').deployed.message,
    /Back-off pulling x; see kubectl describe pod/,
  )
  const scheduled = { type: 'PodScheduled', status: 'False', message: '0/3 nodes are available' }
  const pending = pod('a', { conditions: [scheduled] })
  assert.equal(findPod([pending], 'a').deployed.reason, 'Unschedulable')
})
