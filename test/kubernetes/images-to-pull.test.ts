import assert from 'node:assert/strict'
import { test } from 'node:test'
import { imagesToPull } from '../../src/kubernetes/images-to-pull.ts'

const pod = {
  initContainers: [{ image: 'h/init:1', imagePullPolicy: 'IfNotPresent' }],
  containers: [{ image: 'h/app:1' }, { image: 'h/never:1', imagePullPolicy: 'Never' }],
  volumes: [
    { image: { reference: 'h/model:1' } },
    { image: { reference: 'h/other:1', pullPolicy: 'Never' } },
    { configMap: { name: 'x' } },
  ],
}
const images = ['h/init:1', 'h/app:1', 'h/model:1']
const job = { metadata: {}, spec: { template: { spec: pod } } }

test('templates and pods that do not run yet name images to pull, but not those that are never pulled', () => {
  for (const object of [
    job,
    { metadata: {}, spec: pod },
    { metadata: {}, spec: pod, status: { phase: 'Pending' } },
    { metadata: {}, spec: { schedule: '* * * * *', jobTemplate: { spec: job.spec } } },
    { ...job, status: { conditions: [{ type: 'Available', status: 'True' }] } },
  ])
    assert.deepEqual(imagesToPull(object), images)
})

test('what runs, has ended or is being deleted names none', () => {
  for (const object of [
    { metadata: {}, spec: pod, status: { phase: 'Running' } },
    { metadata: {}, spec: pod, status: { phase: 'Succeeded' } },
    { ...job, status: { conditions: [{ type: 'Complete', status: 'True' }] } },
    { ...job, status: { conditions: [{ type: 'Failed', status: 'True' }] } },
    { ...job, metadata: { deletionTimestamp: '2026-01-01T00:00:00Z' } },
    { metadata: {}, spec: { containers: 'x', volumes: 1 } },
    'x',
  ])
    assert.deepEqual(imagesToPull(object), [])
})
