import assert from 'node:assert/strict'
import { test } from 'node:test'
import fc from 'fast-check'
import { digestOf } from '../../src/oci/digest.ts'
import { isUnfinished, parseSpoolPath } from '../../src/spooler/spool-names.ts'

/** `name:tag` of a push, or `-name:tag` of a delete. */
function targetOf(path: string, prefix?: string): string {
  const job = parseSpoolPath(path, prefix)
  switch (job.kind) {
    case 'push':
      return `${job.name}:${job.tag ?? 'latest'}${job.isArchive ? '' : ' file'}`
    case 'delete':
      return `-${job.name}:${'tag' in job.reference ? job.reference.tag : job.reference.digest}`
    case 'invalid':
      return 'invalid'
  }
}

test('names of files are repositories and tags; only the endings of archives are removed', () => {
  const digest = digestOf(Buffer.alloc(0))
  const cases: Readonly<Record<string, string>> = {
    'myimage.tar': 'myimage:latest',
    'app:dev.tar': 'app:dev',
    'app:1.2.tar': 'app:1.2',
    'app:1.2.tar.gz': 'app:1.2',
    'app:1.2.tgz': 'app:1.2',
    'app:1.2.tar.zst': 'app:1.2',
    'my.app.tar': 'my.app:latest',
    'team\\app:1.tar': 'team/app:1',
    'team/app.tar': 'team/app:latest',
    'team/sub\\app.tar': 'team/sub/app:latest',
    'hello.txt': 'hello.txt:latest file',
    'data.gz': 'data.gz:latest file',
    'model.bin:3': 'model.bin:3 file',
    'app!': '-app:latest',
    'app:1.2!': '-app:1.2',
    'app:1.2.tar!': '-app:1.2.tar',
    [`app@${digest}!`]: `-app:${digest}`,
    'team\\app!': '-team/app:latest',
  }
  for (const [path, target] of Object.entries(cases)) assert.equal(targetOf(path), target, path)
  assert.equal(targetOf('app.tar', 'local/team'), 'local/team/app:latest')
})

test('names that are no repository or tag are invalid, and say why', () => {
  const names = ['Hello.txt', 'a b', '..\\x.tar', 'a\\..\\b', 'app:.x', 'a:b:c', '!', '.tar', 'ü']
  for (const name of [...names, `app@${digestOf(Buffer.alloc(0))}`]) {
    const job = parseSpoolPath(name)
    assert.equal(job.kind, 'invalid', name)
    assert.ok(job.kind === 'invalid' && job.reason.length > 20)
  }
})

test('no name leaves the prefix, or makes the parser throw (S145)', () => {
  fc.assert(
    fc.property(fc.string({ unit: 'binary' }), (path) => {
      const job = parseSpoolPath(path, 'local/team')
      if (job.kind !== 'invalid') assert.match(job.name, /^local\/team\/[a-z0-9]/)
    }),
  )
})

test('unfinished names are those of S140', () => {
  for (const name of ['app.tar~', 'app.tar.tmp', '.app.tar.swp', '.nfs0001'])
    assert.ok(isUnfinished(name), name)
  for (const name of ['app.tar', 'app~1.tar', 'tmp']) assert.ok(!isUnfinished(name), name)
})
