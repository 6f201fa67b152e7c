import assert from 'node:assert/strict'
import { mkdir, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { test } from 'node:test'
import { makeImage } from '../support/images.ts'
import { setPodScene } from '../support/pod-scene.ts'

test('kubectl berth why runs in the pod, with short names, and its exit status', async (t) => {
  const { api, run, client } = await setPodScene(t)
  await client.push('local/app', makeImage(), '1.2')
  const found = await run('why', 'app:1.2')
  assert.equal(found.status, 0, found.stderr)
  assert.match(found.stdout, /^localhost:\d+\/local\/app:1\.2\n/)
  assert.match(found.stdout, /ok {4}content +on the hosted volume/)
  const missing = await run('why', 'app:9', '-o', 'json')
  assert.equal(missing.status, 1)
  assert.equal(JSON.parse(missing.stdout).servedBy, 'nothing')
  assert.ok(api.requests.every((path) => !/portforward/.test(path)))
})

test('kubectl berth status tells each replica', async (t) => {
  const { run } = await setPodScene(t)
  const { stdout, status } = await run('status')
  assert.equal(status, 0)
  assert.match(stdout, /^berth-0 +registry +- +yes +test /m)
  assert.match(stdout, /^upstream +down at http:\/\/127\.0\.0\.1:9/m)
  const { ready, replicas } = JSON.parse((await run('status', '-o', 'json')).stdout)
  assert.ok(ready)
  assert.equal(replicas[0].status.version, 'test')
})

test('kubectl berth doctor says which step of a pull fails, and what is not known outside', async (t) => {
  const { run, client } = await setPodScene(t)
  await client.push('local/app', makeImage(), '1.2')
  const failed = await run('doctor')
  assert.equal(failed.status, 1)
  assert.match(failed.stdout, /ok {4}pod +berth-0 is ready/)
  assert.match(failed.stdout, /- {5}rights +your rights are not known/)
  assert.match(failed.stdout, /FAIL {2}connection .*127\.0\.0\.1:9/)
  const hosted = await run('doctor', 'app:1.2')
  assert.equal(hosted.status, 0, hosted.stdout)
  assert.match(hosted.stdout, /No problem found/)
  const report = JSON.parse((await run('doctor', 'localhost/down/x:1', '-o', 'json')).stdout)
  assert.equal(report.ok, false)
  assert.equal(report.why.servedBy, 'nothing')
  assert.equal(report.upstreams[0].reference, 'localhost/down/x:1')
})

const namespaced = '/api/v1/namespaces/registry'

function pod(name: string, release: string, state: object) {
  return {
    metadata: { name, namespace: 'registry', labels: { 'app.kubernetes.io/instance': release } },
    spec: { containers: [{ name: 'berth' }] },
    status: {
      conditions: [{ type: 'Ready', status: 'False' }],
      containerStatuses: [{ name: 'berth', ready: false, restartCount: 3, state }],
    },
  }
}

test('kubectl berth status tells what is in the spool, and the conditions of Registries', async (t) => {
  const good = ['Accepted', 'Deployed', 'Reachable'].map((type) => ({ type, status: 'True' }))
  const denied = { status: 'False', reason: 'LoginDenied', message: 'ci was denied access' }
  const bad = ['Authenticated', 'Ready'].map((type) => ({ type, ...denied }))
  const usual = { reason: 'Fine', message: 'fine', lastTransitionTime: '2026-01-01T00:00:00Z' }
  const team = {
    apiVersion: 'berth.dev/v1alpha1',
    kind: 'Registry',
    metadata: { name: 'team', namespace: 'registry', uid: 'u', resourceVersion: '1' },
    spec: { direct: { host: 'r.example.com' } },
    status: {
      host: 'r.example.com',
      conditions: [...good, ...bad].map((one) => ({ ...usual, observedGeneration: 1, ...one })),
    },
  }
  const state = { conditions: [{ type: 'Ready', status: 'True' }] }
  const sidecar = { name: 'spooler', restartPolicy: 'Always' }
  const registryPod = {
    metadata: { name: 'berth-0', namespace: 'registry' },
    spec: { containers: [{ name: 'berth' }], initContainers: [{ name: 'wait' }, sidecar] },
    status: {
      ...state,
      initContainerStatuses: [{ name: 'wait', ready: true, state: { terminated: {} } }],
    },
  }
  const surrogate = {
    metadata: { name: 's-0', namespace: 'registry', labels: { 'berth.dev/registry': 'team' } },
    spec: { containers: [{ name: 'berth' }] },
    status: state,
  }
  const registries = '/apis/berth.dev/v1alpha1/namespaces/registry/registries'
  const items: object[] = [registryPod]
  const objects = {
    [`${namespaced}/pods`]: { items },
    // Those of all namespaces may not be listed.
    [registries]: { items: [team] },
    [`${registries}/team`]: team,
  }
  const forbidden = ['v1alpha1/registries']
  const { run, spool } = await setPodScene(t, { objects, forbidden })
  await mkdir(join(spool, 'failed'), { recursive: true })
  await writeFile(join(spool, 'app.tar'), 'content')
  const told = await run('status')
  assert.equal(told.status, 1)
  assert.match(told.stdout, /^berth-0 .* yes .* spooler$/m)
  assert.doesNotMatch(told.stdout, /container wait/)
  assert.match(told.stdout, /^spool +1 file waits, 7 B; the oldest is app\.tar, .* old; 0 failed$/m)
  assert.match(told.stdout, /^spool +PROBLEM: no spooler answers at port 9$/m)
  const row = /^team +registry +r\.example\.com +True +True +True +False +False$/m
  assert.match(told.stdout, row)
  assert.match(told.stdout, /^problem +registry\/team: ci was denied access$/m)
  items.splice(0, 1, surrogate)
  const { replicas, registries: shown } = JSON.parse((await run('status', '-o', 'json')).stdout)
  assert.equal(replicas[0].error, undefined)
  assert.equal(shown[0].conditions.Authenticated, 'False')
  const doctor = await run('doctor', '--registry', 'team')
  assert.equal(doctor.status, 1)
  assert.match(doctor.stdout, /ok {4}reachable +fine/)
  assert.match(doctor.stdout, /FAIL {2}authenticated +ci was denied access/)
})

test('kubectl berth doctor finds pods that do not start, missing rights and several releases', async (t) => {
  const waiting = (reason: string) => ({ waiting: { reason, message: 'says Kubernetes' } })
  const objects = {
    [`${namespaced}/pods`]: {
      items: [
        pod('one-0', 'one', waiting('ImagePullBackOff')),
        pod('two-0', 'two', waiting('CrashLoopBackOff')),
      ],
    },
    [`${namespaced}/services`]: {
      items: [
        {
          metadata: { name: 'one' },
          spec: { type: 'NodePort', ports: [{ nodePort: 30026 }, {}] },
        },
      ],
    },
    '/apis/authorization.k8s.io/v1/selfsubjectaccessreviews': { status: { allowed: false } },
  }
  const { run } = await setPodScene(t, { objects, forbidden: ['/exec'] })
  const { stdout, status } = await run('doctor')
  assert.equal(status, 1)
  assert.match(stdout, /FAIL {2}rights +you may not: list pods, get pods, create pods\/exec/)
  assert.match(
    stdout,
    /FAIL {2}release +there are several registries: registry\/one, registry\/two/,
  )
  assert.match(stdout, /FAIL {2}pod +one-0: container berth \(3 restarts\): ImagePullBackOff/)
  assert.match(stdout, /→ the node cannot pull the image of Berth itself/)
  assert.match(stdout, /→ see why it ended: kubectl logs --previous/)
  assert.match(stdout, /ok {4}service +one \(NodePort 30026\)/)
  assert.match(stdout, /FAIL {2}registry +one-0 does not say .*rights create and get on pods\/exec/)
})

test('where exec is forbidden, or berth is no program there, the command says so', async (t) => {
  const denied = await setPodScene(t, { forbidden: ['/exec'] })
  const refused = await denied.run('why', 'app:1')
  assert.equal(refused.status, 1)
  assert.match(
    refused.stderr,
    /^berth: cannot run berth why --short in container berth of pod berth-0 in namespace registry: .*403.*rights create and get on pods\/exec/,
  )
  const missing = await setPodScene(t, { program: ['/nowhere/berth'] })
  assert.match((await missing.run('why', 'app:1')).stderr, /cannot run berth why .*not found/)
  const status = await missing.run('status')
  assert.equal(status.status, 1)
  assert.match(status.stdout, /problem +cannot run berth status .*not found/)
})
