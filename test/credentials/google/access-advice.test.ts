import assert from 'node:assert/strict'
import { test } from 'node:test'
import fc from 'fast-check'
import { accessAdvice } from '../../../src/credentials/google/access-advice.ts'
import { createGoogleSource } from '../../../src/credentials/google/google.ts'
import { memberOf, principalOf, quoteForShell } from '../../../src/credentials/google/iam-member.ts'

const identity = 'puller@my-project.iam.gserviceaccount.com'

function advice(
  host: string,
  repository: string,
  options: Partial<Parameters<typeof accessAdvice>[0]> = {},
) {
  return accessAdvice({ host, repository, identity, access: 'pull', ...options })
}

test('the advice names the role, the repository and the command', () => {
  assert.equal(
    advice('us-central1-docker.pkg.dev', 'my-project/my-repository/team/app'),
    `${identity} lacks roles/artifactregistry.reader on my-project/my-repository, or that repository does not exist; grant the role: gcloud artifacts repositories add-iam-policy-binding my-repository --project=my-project --location=us-central1 --member=serviceAccount:${identity} --role=roles/artifactregistry.reader`,
  )
})

test('pushes and deletions need other roles', () => {
  const text = advice('us-docker.pkg.dev', 'p/r/i', { access: 'push' })
  assert.match(text, /lacks roles\/artifactregistry\.writer on p\/r/)
  assert.match(text, /--role=roles\/artifactregistry\.writer$/)
  assert.match(
    advice('us-docker.pkg.dev', 'p/r/i', { access: 'delete' }),
    /--role=roles\/artifactregistry\.repoAdmin$/,
  )
})

test('the location comes from the host name, also for hosts of Container Registry', () => {
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

test('a domain-scoped project is written with a colon', () => {
  const text = advice('us-docker.pkg.dev', 'example.com/project/repository/image')
  assert.match(text, /on example\.com:project\/repository, .* --project=example\.com:project /)
  assert.match(advice('gcr.io', 'example.com/project/image'), /--project=example\.com:project /)
})

test('for an unknown host, the advice names the role without a command', () => {
  for (const host of [
    '127.0.0.1:5000',
    'registry.example.com',
    'evil-us-docker.pkg.dev.example.com',
  ])
    assert.equal(
      advice(host, 'p/r/i'),
      `${identity} lacks roles/artifactregistry.reader on p/r, or that repository does not exist; grant the role on that repository`,
    )
})

test('principals and users are named as in IAM policies, and unknown identities are not', () => {
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
  const unknown = advice('us-docker.pkg.dev', 'p/r/i', { identity: 'the user in /adc.json' })
  assert.match(unknown, /grant the role on that repository$/)
})

test("a GKE pod without a Google service account is a principal of its cluster's pool", () => {
  const text = advice('us-docker.pkg.dev', 'p/r/i', { identity: 'my-project.svc.id.goog' })
  assert.match(
    text,
    /--member=principal:\/\/.*\/workloadIdentityPools\/my-project\.svc\.id\.goog\/subject\/ns\/NAMESPACE\/sa\/SERVICE_ACCOUNT /,
  )
})

test('for the whole registry, the advice names no repository', () => {
  assert.match(advice('us-docker.pkg.dev', ''), /^puller@.* lacks roles\/.*reader in this registry/)
})

test('without credentials, the advice says how to configure them', async () => {
  const source = createGoogleSource({ access: 'pull', host: 'gcr.io', optional: true })
  await source.fetch()
  assert.equal(source.source(), 'no credential file and no metadata server')
  assert.match(
    source.advice?.('p/i') ?? '',
    /^no Google credentials were found: set upstreams\[\]\.credentials\.file or \$GOOGLE_APP/,
  )
})

test('the principal contains the pool of its provider', () => {
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

test('a shell reads a quoted name as one word, and runs none of it', () => {
  fc.assert(
    fc.property(fc.string(), (word) => {
      const text = quoteForShell(word)
      const read = text.startsWith("'") ? text.slice(1, -1).replaceAll(`'\\''`, "'") : text
      assert.equal(read, word)
      if (!text.startsWith("'")) assert.match(text, /^[\w@%+=:,./-]+$/)
    }),
  )
})

test('there is advice for any repository and identity', () => {
  fc.assert(
    fc.property(fc.string(), fc.string(), fc.string(), (host, repository, who) => {
      assert.ok(accessAdvice({ host, repository, identity: who, access: 'pull' }).length > 0)
      memberOf(who)
    }),
  )
})
