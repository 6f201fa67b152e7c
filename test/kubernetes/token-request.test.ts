import assert from 'node:assert/strict'
import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { type TestContext, test } from 'node:test'
import { createApiClient, requestToken } from '../../src/kubernetes/kubernetes.ts'
import { createAuthority } from '../support/certificates.ts'
import { answerJson, startFakeServer } from '../support/fake-server.ts'

async function startApi(t: TestContext, status: number, answer: object) {
  const authority = await createAuthority('cluster')
  const directory = await mkdtemp(join(tmpdir(), 'berth-test-'))
  await writeFile(join(directory, 'ca.crt'), await readFile(authority.file))
  await writeFile(join(directory, 'token'), 'own-token\n')
  const server = await startFakeServer(
    (_request, response) => answerJson(response, status, answer),
    { tls: await authority.issue(['IP:127.0.0.1']) },
  )
  const client = createApiClient({ server: server.host, directory })
  t.after(async () => {
    await client.close()
    await server.stop()
    await authority.remove()
    await rm(directory, { recursive: true })
  })
  return { client, server }
}

const account = { namespace: 'team-a', name: 'ci', audiences: ['berth'] }

test('a token of a service account is created for the audience', async (t) => {
  const expirationTimestamp = '2026-11-29T12:00:00Z'
  const { client, server } = await startApi(t, 201, {
    status: { token: 'eyJ.eyJ.c', expirationTimestamp },
  })
  const created = await requestToken(client, { ...account, lifetime: 3600 })
  assert.deepEqual(created, { token: 'eyJ.eyJ.c', expires: new Date(expirationTimestamp) })
  const [request] = server.requests
  assert.equal(request?.method, 'POST')
  assert.equal(request?.path, '/api/v1/namespaces/team-a/serviceaccounts/ci/token')
  assert.deepEqual(JSON.parse(request?.body ?? '').spec, {
    audiences: ['berth'],
    expirationSeconds: 3600,
  })
})

test('a refusal has the words of the API server', async (t) => {
  const message = 'serviceaccounts "ci" is forbidden: User "alice" cannot create resource'
  const { client } = await startApi(t, 403, { kind: 'Status', message })
  await assert.rejects(requestToken(client, account), {
    message: `cannot create a token for the service account ci in team-a: ${message}`,
  })
})

test('an answer without a token is an error', async (t) => {
  const { client } = await startApi(t, 201, { status: {} })
  await assert.rejects(requestToken(client, account))
  const other = await startApi(t, 502, {})
  await assert.rejects(requestToken(other.client, account), /the API server answered 502/)
})
