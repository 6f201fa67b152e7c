import assert from 'node:assert/strict'
import { test } from 'node:test'
import fc from 'fast-check'
import { createGoogleSource } from '../../../src/credentials/google/google.ts'
import { memberOf, principalOf, quoted } from '../../../src/credentials/google/iam-member.ts'
import { pullAdvice } from '../../../src/credentials/google/pull-advice.ts'

const identity = 'puller@my-project.iam.gserviceaccount.com'

function advice(
  host: string,
  repository: string,
  options: Partial<Parameters<typeof pullAdvice>[0]> = {},
) {
  return pullAdvice({ host, repository, identity, access: 'pull', ...options })
}

test('a refusal names the role, the repository and the command', () => {
  assert.equal(
    advice('us-central1-docker.pkg.dev', 'my-project/my-repository/team/app'),
    `${identity} lacks roles/artifactregistry.reader on my-project/my-repository, or that repository does not exist; grant it with: gcloud artifacts repositories add-iam-policy-binding my-repository --project=my-project --location=us-central1 --member=serviceAccount:${identity} --role=roles/artifactregistry.reader`,
  )
})

test('whoever pushes needs another role', () => {
  const text = advice('us-docker.pkg.dev', 'p/r/i', { access: 'push' })
  assert.match(text, /lacks roles\/artifactregistry\.writer on p\/r/)
  assert.match(text, /--role=roles\/artifactregistry\.writer$/)
})

test('the location is in the host, and for the hosts of Container Registry known', () => {
  for (const [host, project, name, location] of [
    ['europe-docker.pkg.dev', 'p', 'r', 'europe'],
    ['docker.us-central1.rep.pkg.dev', 'p', 'r', 'us-central1'],
    ['gcr.io', 'p', 'gcr.io', 'us'],
    ['us.gcr.io', 'p', 'us.gcr.io', 'us'],
    ['eu.gcr.io', 'p', 'eu.gcr.io', 'europe'],
    ['asia.gcr.io', 'p', 'asia.gcr.io', 'asia'],
  ] as const) {
    const text = advice(host, 'p/r/i')
    const command = `add-iam-policy-binding ${name} --project=${project} --location=${location} `
    assert.ok(text.includes(command), text)
    assert.ok(text.includes(`on ${project}/${name},`), text)
  }
})

test("a domain's project is written with a colon", () => {
  const text = advice('us-docker.pkg.dev', 'example.com/project/repository/image')
  assert.match(text, /on example\.com:project\/repository, .* --project=example\.com:project /)
  assert.match(advice('gcr.io', 'example.com/project/image'), /--project=example\.com:project /)
})

test('a registry of an unknown host is told the role without a command', () => {
  for (const host of [
    '127.0.0.1:5000',
    'registry.example.com',
    'evil-us-docker.pkg.dev.example.com',
  ])
    assert.equal(
      advice(host, 'p/r/i'),
      `${identity} lacks roles/artifactregistry.reader on p/r, or that repository does not exist; grant it that role there`,
    )
})

test('principals and users are named as IAM does, and whoever is unknown is not', () => {
  const principal =
    'principal://iam.googleapis.com/projects/1/locations/global/workloadIdentityPools/p/subject/system:serviceaccount:n:s'
  assert.match(
    advice('us-docker.pkg.dev', 'p/r/i', { identity: principal }),
    new RegExp(`--member=${principal} `),
  )
  assert.match(
    advice('us-docker.pkg.dev', 'p/r/i', { identity: 'a@b.com' }),
    /--member=user:a@b\.com /,
  )
  const unknown = advice('us-docker.pkg.dev', 'p/r/i', { identity: 'the user of /adc.json' })
  assert.match(unknown, /grant it that role there$/)
})

test("a pod of GKE's without an account of Google's is a principal of its cluster's pool", () => {
  const text = advice('us-docker.pkg.dev', 'p/r/i', { identity: 'my-project.svc.id.goog' })
  assert.match(
    text,
    /--member=principal:\/\/.*\/workloadIdentityPools\/my-project\.svc\.id\.goog\/subject\/ns\/NAMESPACE\/sa\/SERVICE_ACCOUNT /,
  )
})

test('the registry as a whole is told without a repository', () => {
  assert.match(advice('us-docker.pkg.dev', ''), /^puller@.* lacks roles\/.*reader in this registry/)
})

test('who found no credentials is told how to give some', async () => {
  const source = createGoogleSource({ access: 'pull', host: 'gcr.io', optional: true })
  await source.fetch()
  assert.equal(source.source(), 'neither a credential file nor a metadata server')
  assert.match(
    source.advice?.('p/i') ?? '',
    /^no credentials for Google were found here: set upstreams\[\]\.credentials\.file or \$GOOGLE_APP/,
  )
})

test('a principal is in the pool of its provider', () => {
  assert.equal(
    principalOf(
      '//iam.googleapis.com/projects/1/locations/global/workloadIdentityPools/p/providers/x',
      's',
    ),
    'principal://iam.googleapis.com/projects/1/locations/global/workloadIdentityPools/p/subject/s',
  )
  assert.equal(
    principalOf('//iam.googleapis.com/locations/global/workforcePools/w/providers/x', 's'),
    'principal://iam.googleapis.com/locations/global/workforcePools/w/subject/s',
  )
  assert.equal(principalOf('https://example.com', 's'), undefined)
})

test('whatever a name, a shell reads it as one word and runs none of it', () => {
  fc.assert(
    fc.property(fc.string(), (word) => {
      const text = quoted(word)
      const read = text.startsWith("'") ? text.slice(1, -1).replaceAll(`'\\''`, "'") : text
      assert.equal(read, word)
      if (!text.startsWith("'")) assert.match(text, /^[\w@%+=:,./-]+$/)
    }),
  )
})

test('whatever the repository and the identity, there is a sentence', () => {
  fc.assert(
    fc.property(fc.string(), fc.string(), fc.string(), (host, repository, who) => {
      assert.ok(pullAdvice({ host, repository, identity: who, access: 'pull' }).length > 0)
      memberOf(who)
    }),
  )
})
