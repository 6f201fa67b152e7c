import assert from 'node:assert/strict'
import { test } from 'node:test'
import { imagesIn } from '../../src/kubernetes/images-in.ts'

const template = {
  spec: { containers: [{ image: 'h/a:1' }], initContainers: [{ image: 'h/b:1' }] },
}

test('containers of every kind, image volumes and reported digests of a pod count', () => {
  const images = imagesIn({
    metadata: { annotations: { containers: [{ image: 'no' }] } },
    spec: {
      ...template.spec,
      ephemeralContainers: [{ image: 'h/c:1' }],
      volumes: [{ image: { reference: 'h/model:1', pullPolicy: 'Always' } }],
    },
    status: {
      containerStatuses: [
        {
          image: 'h/a:1',
          imageID: 'h/a@sha256:1',
          volumeMounts: [{ volumeStatus: { image: { imageRef: 'h/model@sha256:2' } } }],
        },
      ],
      initContainerStatuses: [{ imageID: 'h/b@sha256:3' }],
    },
  })
  assert.deepEqual(images.toSorted(), [
    'h/a:1',
    'h/a@sha256:1',
    'h/b:1',
    'h/b@sha256:3',
    'h/c:1',
    'h/model:1',
    'h/model@sha256:2',
  ])
})

test('templates count wherever a kind has them', () => {
  const expected = ['h/a:1', 'h/b:1']
  assert.deepEqual(imagesIn({ spec: { template } }), expected)
  assert.deepEqual(imagesIn({ spec: { jobTemplate: { spec: { template } } } }), expected)
  assert.deepEqual(imagesIn({ data: { spec: { template } } }), expected)
  assert.deepEqual(imagesIn({ template }), expected)
})

test('anything else has none', () => {
  for (const value of [null, 1, 'image', [], { image: 'x' }, { spec: { image: 'x' } }])
    assert.deepEqual(imagesIn(value), [])
})
