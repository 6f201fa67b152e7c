import assert from 'node:assert/strict'
import { test } from 'node:test'
import { targetOf } from '../../src/surrogate/request-target.ts'

const at = (path: string) => new URL(path, 'http://surrogate')

const targets = [
  ['GET', '/v2/', { repository: '', access: 'pull' }],
  ['GET', '/v2/_catalog?n=10', { repository: '', access: 'pull', isCatalog: true }],
  ['HEAD', '/v2/a/b/manifests/1.2', { repository: 'a/b', access: 'pull' }],
  ['GET', '/v2/blobs/uploads/blobs/sha256:ab', { repository: 'blobs/uploads', access: 'pull' }],
  ['DELETE', '/v2/app/manifests/sha256:ab', { repository: 'app', access: 'delete' }],
  ['PUT', '/v2/app/manifests/1', { repository: 'app', access: 'push' }],
  ['POST', '/v2/app/blobs/uploads/', { repository: 'app', access: 'push', session: '' }],
  ['DELETE', '/v2/app/blobs/uploads/x', { repository: 'app', access: 'push', session: 'x' }],
  [
    'POST',
    '/v2/app/blobs/uploads/?mount=sha256:ab&from=team/base',
    { repository: 'app', access: 'push', session: '', mountFrom: 'team/base' },
  ],
  // Not a name: the scope of a token would have more than it.
  [
    'POST',
    '/v2/app/blobs/uploads/?mount=sha256:ab&from=x:pull%20repository:y',
    { repository: 'app', access: 'push', session: '' },
  ],
] as const
for (const [method, path, target] of targets)
  test(`${method} ${path} is known`, () => assert.deepEqual(targetOf(method, at(path)), target))

const unknown = [
  ['POST', '/v2/'],
  ['GET', '/'],
  ['GET', '/api/v1/repositories'],
  ['GET', '/v2/../admin'],
  ['GET', '/v2/app/blobs/uploads/..%2f..%2fadmin'],
  ['GET', '/v2/App/tags/list'],
  ['GET', '/v2/app/tags/list/x'],
  ['GET', '/v2/app//blobs/sha256:ab'],
  ['GET', `/v2/${'a/'.repeat(200)}a/tags/list`],
] as const
for (const [method, path] of unknown)
  test(`${method} ${path.slice(0, 40)} is no request of the distribution protocol`, () =>
    assert.equal(targetOf(method, at(path)), undefined))
