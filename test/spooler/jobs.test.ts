import assert from 'node:assert/strict'
import { test } from 'node:test'
import { createJobs } from '../../src/spooler/jobs.ts'
import type { Entry } from '../../src/spooler/spool-entries.ts'

function entryOf(path: string, rest: Partial<Entry> = {}): Entry {
  return { path, kind: 'file', size: 1, modified: 0, identity: path, owner: 1001, ...rest }
}

const rules = {
  'team-a': { prefix: 'teams/a', owner: 1001 },
  'team-b': { prefix: 'team-b' },
}
const jobOf = createJobs({
  prefix: 'local',
  directories: {
    find: (name) => new Map<string, (typeof rules)['team-b']>(Object.entries(rules)).get(name),
    names: Object.keys(rules),
  },
})

function targetOf(entry: Entry): string {
  const job = jobOf(entry)
  return job.kind === 'invalid' ? job.reason : job.name
}

test('the prefix of a directory takes the place of its name', () => {
  assert.equal(targetOf(entryOf('team-a/app:1.tar')), 'local/teams/a/app')
  assert.equal(targetOf(entryOf('team-a/sub\\app')), 'local/teams/a/sub/app')
  assert.equal(targetOf(entryOf('team-b/app', { owner: 7 })), 'local/team-b/app')
})

test('files of another owner, of several owners, and outside of the directories are refused', () => {
  const owned = /files in team-a\/ must be owned by the user 1001, and this one is owned by/
  assert.match(targetOf(entryOf('team-a/app', { owner: 0 })), new RegExp(`${owned.source} 0`))
  const layout = { kind: 'layout', owner: undefined } as const
  assert.match(targetOf(entryOf('team-a/app', layout)), new RegExp(`${owned.source} several users`))
  for (const path of ['team-a\\app', 'app', 'team-c/app', 'team-a'])
    assert.match(targetOf(entryOf(path)), /only files in these directories .* team-a, team-b$/)
})

test('no file name leads out of the prefix of its directory', () => {
  for (const name of ['..\\b\\app', '\\app', '.\\app', 'x\\..\\..\\b'])
    assert.match(targetOf(entryOf(`team-a/${name}`)), /is not a repository name/)
})
