import assert from 'node:assert/strict'
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
