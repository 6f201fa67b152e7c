import assert from 'node:assert/strict'
import { mkdtemp, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { type BerthProcess, startBerthProcess } from './berth-process.ts'
import { removeDirectory } from './directory.ts'
import { htpasswdLine, type Login } from './docker-registry.ts'
import { type Image, makeIndex } from './images.ts'
import { makeLayer, makeLayeredImage } from './layered-images.ts'
import type { Upstream } from './upstreams.ts'

/** One of Docker's types with layers from tiny to large, and an OCI index of two architectures. */
export type Images = { readonly image: Image; readonly index: Image }

/** A Berth with users of its own, an upstream, and images there: `REPOSITORY:image` and `:index`. */
export interface Scene {
  readonly upstream: Upstream
  readonly berth: BerthProcess
  readonly images: Images
  close(): Promise<void>
}

export const login: Login = { user: 'kubelet', password: 'client-canary-52aa' }
export const repository = 'my-project/my-repository/team/app'
/** Another host name of the same registry, which a node's mirror replaces. */
export const mirrored = 'registry.example'

/** `config`: what else Berth's file says. */
export async function setScene(
  upstream: Upstream,
  config: Readonly<Record<string, unknown>> = {},
): Promise<Scene> {
  const directory = await mkdtemp(join(tmpdir(), 'berth-scene-'))
  const htpasswd = join(directory, 'htpasswd')
  await writeFile(htpasswd, await htpasswdLine(login))
  const images = await makeImages()
  await upstream.put(repository, 'image', images.image)
  await upstream.put(repository, 'index', images.index)
  // A tag is validated for each pull, so that it is stale as soon as the upstream is down.
  const asked = { ...upstream.config, tags: { ttl: 0 } }
  const berth = await startBerthProcess(
    {
      auth: { htpasswd },
      upstreams: [asked, { ...asked, prefix: mirrored }],
      ...config,
    },
    upstream.environment,
  )

  return {
    upstream,
    berth,
    images,
    close: async () => {
      const output = berth.output()
      await berth.close()
      await upstream.close()
      await removeDirectory(directory)
      for (const secret of [login.password, ...upstream.secrets()])
        assert.ok(!output.includes(secret), 'a secret is in the log')
    },
  }
}

async function makeImages(): Promise<Images> {
  const [large, middle, small, tiny, plain] = await Promise.all([
    makeLayer('large', 24 * 1024 * 1024),
    makeLayer('middle', 3 * 1024 * 1024),
    makeLayer('small', 200 * 1024),
    makeLayer('tiny', 1),
    makeLayer('plain', 100 * 1024, false),
  ])
  const image = makeLayeredImage({ layers: [middle, large, small, tiny], docker: true })
  const index = makeIndex([
    makeLayeredImage({ layers: [small, plain], architecture: 'amd64' }),
    makeLayeredImage({ layers: [small, tiny], architecture: 'arm64' }),
  ])
  return { image, index }
}
