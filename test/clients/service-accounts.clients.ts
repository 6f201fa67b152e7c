import assert from 'node:assert/strict'
import { randomUUID } from 'node:crypto'
import { mkdir, mkdtemp } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { after, before, suite, test } from 'node:test'
import { type BerthProcess, startBerthProcess } from '../support/berth-process.ts'
import { type ClusterIssuer, startClusterIssuer } from '../support/cluster-issuer.ts'
import type { Image } from '../support/images.ts'
import { makeLayer, makeLayeredImage } from '../support/layered-images.ts'
import { writeLayout } from '../support/oci-layout.ts'
import { attempt, run } from '../support/programs.ts'
import {
  buildah,
  crane,
  docker,
  newCtr,
  oldCtr,
  oras,
  podman,
  regctl,
  skopeo,
} from '../support/pushers.ts'
import { servedImage } from '../support/served-image.ts'
import { audience, tokenOf } from '../support/service-account-tokens.ts'

suite('with the token of a service account as password', () => {
  let directory: string
  let layout: string
  let issuer: ClusterIssuer
  let berth: BerthProcess
  let image: Image

  before(async () => {
    directory = await mkdtemp(join(tmpdir(), 'berth-accounts-'))
    // In lower case: podman makes a name of it.
    layout = join(tmpdir(), `berth-layout-${randomUUID()}`)
    image = makeLayeredImage({ layers: [await makeLayer('one', 100_000)] })
    await writeLayout(layout, 'v1', image)
    issuer = await startClusterIssuer()
    const access = [
      {
        groups: ['system:serviceaccounts:team-a'],
        repositories: ['local/team-a/**'],
        actions: ['pull', 'push'],
      },
    ]
    const serviceAccounts = { audiences: [audience], method: 'published-keys', issuer: issuer.url }
    berth = await startBerthProcess({
      upstreams: [],
      hosted: [{ prefix: 'local' }],
      auth: { serviceAccounts, access },
    })
  })
  after(async () => {
    await berth?.close()
    await issuer?.stop()
    await attempt(['rm', '-rf', '--one-file-system', directory, layout])
  })

  const loginOf = (namespace: string, changed: object = {}) => {
    const password = tokenOf(issuer, { namespace }, { padding: 'x'.repeat(300), ...changed })
    assert.ok(password.length > 1200)
    return { user: 'token', password }
  }
  const within = async <Result>(use: (place: string) => Promise<Result>): Promise<Result> => {
    const place = await mkdtemp(join(directory, 'client-'))
    await mkdir(join(place, 'tmp'))
    return use(place)
  }

  const pushers = [docker, skopeo, podman, buildah, oldCtr, newCtr, crane, regctl, oras]
  for (const { client, push, keepsBytes } of pushers)
    test(`${client.name} pushes and pulls; another namespace does neither`, async () => {
      const repository = `local/team-a/${client.name.replaceAll(/[^a-z0-9]+/g, '-')}`
      const name = `${repository}:v1`
      const pushAs = (login: ReturnType<typeof loginOf>) =>
        within((place) =>
          push({ host: berth.host, layout, tag: 'v1', name, login, directory: place }),
        )
      const login = loginOf('team-a')
      await assert.rejects(pushAs(loginOf('team-b')), /denied|403/i)
      await assert.rejects(pushAs(loginOf('team-a', { exp: 1 })), /401|unauthorized|denied/i)
      await pushAs(login)
      const served = await servedImage({ host: berth.host, name: repository, login }, 'v1')
      if (keepsBytes) assert.equal(served.digest, image.digest)
      await within(async (place) => {
        const puller = await client.start(berth.host, place)
        try {
          // First: buildah is content with an image that it has.
          await assert.rejects(puller.pull(name, loginOf('team-b')), /denied|403/i)
          await puller.pull(name, login)
          await puller.check(name, [served])
        } finally {
          await puller.close()
        }
      })
    })

  test('and as a Bearer token, by curl', async () => {
    const ask = (token: string) =>
      run([
        ...['curl', '--silent', '--output', '/dev/null', '--write-out', '%{http_code}'],
        ...['--header', `Authorization: Bearer ${token}`, `http://${berth.host}/v2/`],
      ])
    assert.equal(await ask(loginOf('team-b').password), '200')
    assert.equal(await ask(loginOf('team-b', { aud: ['x'] }).password), '401')
  })

  test('which is not in the log', () => {
    assert.match(berth.output(), /system:serviceaccount:team-a:builder/)
    assert.doesNotMatch(berth.output(), /eyJ/)
  })
})
