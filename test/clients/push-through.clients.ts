import assert from 'node:assert/strict'
import { test } from 'node:test'
import { startBerthProcess } from '../support/berth-process.ts'
import { everything, runConformance } from '../support/conformance.ts'
import { type DockerRegistry, startDockerRegistry } from '../support/docker-registry.ts'
import { setPushScene } from '../support/push-scene.ts'
import { crane, docker, newCtr, oldCtr, oras, podman, regctl, skopeo } from '../support/pushers.ts'
import { describePusher, type PushTarget } from '../support/pushing.ts'

/** Debian's docker-registry behind Berth, empty for each client. */
const upstream: PushTarget = {
  name: 'an upstream',
  open: async () => {
    const registry: DockerRegistry = await startDockerRegistry()
    const { user: username, password } = registry.login
    const credentials = { type: 'static', username, password }
    const scene = await setPushScene({
      upstreams: [{ prefix: 'local', url: registry.url, credentials, push: true }],
      hosted: [],
    })
    return {
      ...scene,
      close: async () => {
        await scene.close()
        await registry.close()
      },
    }
  },
}

for (const pusher of [docker, skopeo, podman, oldCtr, newCtr, crane, regctl, oras])
  describePusher(pusher, upstream)

for (const version of ['1.1', 'dev'])
  test(`the conformance tests of the specification, version ${version}, pass through an upstream`, async (t) => {
    const actions = ['pull', 'push', 'delete']
    const auth = { access: [{ users: ['*'], repositories: ['**'], actions }] }
    const behind = await startBerthProcess({
      auth,
      upstreams: [],
      hosted: [{ prefix: 'local', sparse: true }],
    })
    t.after(behind.close)
    const url = `http://${behind.host}`
    const berth = await startBerthProcess({
      auth,
      upstreams: [{ prefix: 'up', url, push: true }],
      hosted: [],
    })
    t.after(berth.close)
    const { passed, failed, skipped, problems } = await runConformance(berth.host, {
      ...everything,
      OCI_VERSION: version,
      OCI_REPO1: 'up/local/one',
      OCI_REPO2: 'up/local/two',
    })
    const details = `${problems.join('\n')}\n${berth.lastWords()}`
    // A mount without a source is an upload: see registry/push/push-through.
    const anonymousMounts = 2
    assert.deepEqual({ failed, skipped }, { failed: 0, skipped: anonymousMounts }, details)
    assert.ok(passed >= 1000, `${passed} tests passed`)
  })
