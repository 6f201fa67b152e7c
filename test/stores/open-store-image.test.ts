import assert from 'node:assert/strict'
import { readdir } from 'node:fs/promises'
import { createServer } from 'node:net'
import { join } from 'node:path'
import { type TestContext, test } from 'node:test'
import { openStoreImage } from '../../src/stores/open-store-image.ts'
import { ownDirectory } from '../support/directory.ts'
import { type Answering, startWebServer } from '../support/web-server.ts'

/** docker's API as these tests need it: an image, and what its export does. */
async function startEngine(t: TestContext, image: Answering, archive: Answering) {
  const server = await startWebServer((request, response) =>
    (request.path.endsWith('/get') ? archive : image)(request, response),
  )
  t.after(server.close)
  const environment = { DOCKER_HOST: `tcp://127.0.0.1:${server.port}` }
  const open = (name = 'app') => openStoreImage({ store: 'docker', name }, { environment })
  return { server, open }
}

const found: Answering = (_request, response) =>
  void response.end(JSON.stringify({ Id: 'sha256:1', RepoTags: ['app:latest', 'app:2'] }))
const never: Answering = () => assert.fail('it is not exported')

test('one image is exported of a name without a tag', async (t) => {
  const { server, open } = await startEngine(t, found, (_request, response) => void response.end())
  await assert.rejects(open())
  assert.equal(server.count('GET /images/app:latest/get'), 1)
})

test("the daemon's own message is shown", async (t) => {
  const broken: Answering = (_request, response) =>
    void response.writeHead(500).end('{"message":"layer store is locked"}')
  const { open } = await startEngine(t, broken, never)
  await assert.rejects(open(), { fault: 'failed', message: /answers 500: layer store is locked/ })
})

test('an image that it does not have is absent', async (t) => {
  const missing: Answering = (_request, response) =>
    void response.writeHead(404).end('{"message":"No such image"}')
  const { open } = await startEngine(t, missing, never)
  await assert.rejects(open(), { fault: 'absent', message: /docker: tcp:.*: no such image/ })
})

test('an export that breaks off, or is no image, is an error, and leaves no file behind', async (t) => {
  const directory = await ownDirectory(t)
  const { TMPDIR } = process.env
  process.env['TMPDIR'] = directory
  t.after(() => {
    if (TMPDIR === undefined) delete process.env['TMPDIR']
    else process.env['TMPDIR'] = TMPDIR
  })
  const broken = await startEngine(t, found, (_request, response) => {
    response.writeHead(200, { 'content-length': '100000' })
    response.write(Buffer.alloc(1000), () => response.destroy())
  })
  await assert.rejects(broken.open(), {
    fault: 'failed',
    message: /cannot copy app:latest of docker/,
  })
  const wrong = await startEngine(t, found, (_request, response) => void response.end('hello'))
  await assert.rejects(wrong.open(), {
    fault: 'failed',
    message: /cannot read app:latest of docker/,
  })
  assert.deepEqual(await readdir(directory), [])
})

test('a socket that is no containerd is said to be none', async (t) => {
  const path = join(await ownDirectory(t), 'containerd.sock')
  const server = createServer((socket) => {
    socket.on('error', () => {})
    socket.end('HTTP/1.1 400 Bad Request\r\n\r\n')
  })
  await new Promise<void>((resolve) => server.listen(path, resolve))
  t.after(() => server.close())
  const opening = openStoreImage(
    { store: 'containerd', name: 'app' },
    { environment: { CONTAINERD_ADDRESS: path } },
  )
  await assert.rejects(opening, { fault: 'failed', message: /does not answer Namespaces\.List: / })
})

test('without any store, each place is named', async (t) => {
  const directory = await ownDirectory(t)
  const environment = {
    DOCKER_HOST: `unix://${directory}/docker.sock`,
    CONTAINER_HOST: `unix://${directory}/podman.sock`,
    CONTAINERD_ADDRESS: `${directory}/containerd.sock`,
  }
  await assert.rejects(openStoreImage({ name: 'app' }, { environment }), {
    fault: 'absent',
    message:
      /^app is neither a file nor an image .*docker\.sock: there is no such socket.*podman\.sock: .*containerd\.sock: /,
  })
})

test('a name that is none reaches no daemon', async (t) => {
  const { server, open } = await startEngine(t, found, never)
  await assert.rejects(open('../../containers/json?all=1#'), { message: /is not an image name/ })
  assert.equal(server.requests.length, 0)
})
