import assert from 'node:assert/strict'
import { once } from 'node:events'
import { connect } from 'node:net'
import { type TestContext, test } from 'node:test'
import { readRegistryInfo } from '../../src/cli/cluster/registry-info.ts'
import { removeBerth, startBerth } from '../support/berth.ts'
import { sendJson, startWebServer } from '../support/web-server.ts'

const access = [{ users: ['*'], repositories: ['**'], actions: ['pull', 'push', 'delete'] }]

/** Whatever listens at a port, as a command reaches a registry through a tunnel. */
function tunnelTo(port: number) {
  const open = async () => {
    const socket = connect(port, '127.0.0.1')
    await once(socket, 'connect')
    return socket
  }
  return { host: 'localhost:30026', scheme: 'http', hosted: ['local'], open } as const
}

const infoOf = (t: TestContext, port: number) => readRegistryInfo(tunnelTo(port), t.signal)

test('Berth has a catalog, referrers and deletions, and is asked nothing that changes it', async (t) => {
  const berth = await startBerth({
    config: { upstreams: [], auth: { anonymous: 'rules', access } },
  })
  t.after(() => removeBerth(berth))
  const { answers, features } = await infoOf(t, Number(new URL(berth.url).port))
  assert.equal(answers, true)
  assert.deepEqual(features, { catalog: 'yes', referrers: 'yes', delete: 'yes' })
  const { repositories } = (await (await fetch(`${berth.url}/v2/_catalog`)).json()) as {
    repositories: readonly string[]
  }
  assert.deepEqual(repositories, [])
})

test('what a registry refuses or does not have is said', async (t) => {
  const statuses: Readonly<Record<string, number>> = {
    'GET /v2/': 401,
    'GET /v2/_catalog?n=1': 403,
    [`GET /v2/local/berth-probe/referrers/sha256:${'0'.repeat(64)}`]: 404,
    [`DELETE /v2/local/berth-probe/manifests/sha256:${'0'.repeat(64)}`]: 405,
  }
  const server = await startWebServer((request, response) =>
    sendJson(response, {}, statuses[`${request.method} ${request.path}`] ?? 500),
  )
  t.after(server.close)
  const { answers, status, features } = await infoOf(t, server.port)
  assert.deepEqual([answers, status], [false, 401])
  assert.deepEqual(features, { catalog: 'denied', referrers: 'no', delete: 'no' })
})
