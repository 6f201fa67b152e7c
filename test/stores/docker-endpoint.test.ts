import assert from 'node:assert/strict'
import { createHash } from 'node:crypto'
import { mkdir, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { type TestContext, test } from 'node:test'
import { dockerEndpoint } from '../../src/stores/docker-endpoint.ts'
import { ownDirectory } from '../support/directory.ts'

/** docker's configuration with a context `remote`, which is the current one. */
async function configured(t: TestContext, host: string): Promise<string> {
  const directory = await ownDirectory(t)
  const id = createHash('sha256').update('remote').digest('hex')
  const context = join(directory, 'contexts', 'meta', id)
  await mkdir(context, { recursive: true })
  await writeFile(join(directory, 'config.json'), JSON.stringify({ currentContext: 'remote' }))
  const endpoints = { docker: { Host: host, SkipTLSVerify: false } }
  const meta = { Name: 'remote', Metadata: {}, Endpoints: endpoints }
  await writeFile(join(context, 'meta.json'), JSON.stringify(meta))
  return directory
}

test("the daemon is where docker's own command finds it", async (t) => {
  const DOCKER_CONFIG = await configured(t, 'unix:///run/user/1000/docker.sock')
  const [usual, current, ...others] = await Promise.all([
    dockerEndpoint({ HOME: await ownDirectory(t) }),
    dockerEndpoint({ DOCKER_CONFIG }),
    dockerEndpoint({ DOCKER_CONFIG, DOCKER_CONTEXT: 'default' }),
    dockerEndpoint({ DOCKER_CONFIG, DOCKER_HOST: 'tcp://[::1]:1234' }),
    dockerEndpoint({ DOCKER_CONFIG, DOCKER_HOST: 'tcp://docker.example' }),
  ])
  assert.deepEqual(usual, {
    address: 'unix:///var/run/docker.sock',
    socketPath: '/var/run/docker.sock',
  })
  assert.deepEqual(current, {
    address: 'unix:///run/user/1000/docker.sock',
    socketPath: '/run/user/1000/docker.sock',
  })
  assert.deepEqual(others, [
    usual,
    { address: 'tcp://[::1]:1234', host: '::1', port: 1234 },
    { address: 'tcp://docker.example', host: 'docker.example', port: 2375 },
  ])
})

test('what cannot be reached is said, and what to do instead', async (t) => {
  for (const environment of [
    { DOCKER_HOST: 'ssh://user@host' },
    { DOCKER_HOST: 'tcp://host:2376', DOCKER_TLS_VERIFY: '1' },
    { DOCKER_CONFIG: await configured(t, 'npipe:////./pipe/docker_engine') },
  ])
    await assert.rejects(dockerEndpoint(environment), {
      fault: 'absent',
      message: /tcp:\/\/ without TLS are supported; save the image to a file/,
    })
  const DOCKER_CONFIG = await configured(t, 'unix:///x')
  await assert.rejects(dockerEndpoint({ DOCKER_CONFIG, DOCKER_CONTEXT: 'gone' }), {
    message: /cannot read docker's context gone/,
  })
})
