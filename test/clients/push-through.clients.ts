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
