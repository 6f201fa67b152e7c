import assert from 'node:assert/strict'
import { mkdir, mkdtemp, readFile, rm, symlink, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { dirname, join } from 'node:path'
import { after, before, describe, test } from 'node:test'
import { stringify } from 'yaml'
import { watchArguments } from '../support/arguments.ts'
import { startArtifactRegistry } from '../support/artifact-registry.ts'
import { createAuthority } from '../support/certificates.ts'
import { main } from '../support/command.ts'
import { trustFlags } from '../support/containers-storage.ts'
import { startDockerd } from '../support/dockerd.ts'
import type { Image } from '../support/images.ts'
import { makeLayer, makeLayeredImage } from '../support/layered-images.ts'
import { attempt, type Finished, run, tool } from '../support/programs.ts'
import { contentOf } from '../support/pulling.ts'
import { type ArtifactRegistryUpstream, artifactRegistryUpstream } from '../support/upstreams.ts'

const repository = 'my-project/my-repository/app'

/** What is around a client: nothing of its own but where it is told to look. */
type Surroundings = {
  /** `host:port/repository:tag`. */
  readonly image: string
  /** Empty, of its own. */
  readonly directory: string
  readonly authority: string
  /** A registries.conf that names the helper, or does not. */
  readonly registries: string
  /** The path, with the helper or without, and docker's configuration, which names it or does not. */
  readonly environment: Readonly<Record<string, string>>
}

/** A program that pulls from the registry itself, by the helper's credentials. */
type Kind = {
  readonly name: string
  readonly pull: (around: Surroundings) => Promise<Finished>
  /** Whether it has all that the image stands for. */
  readonly check: (around: Surroundings, image: Image) => Promise<void>
}

const kinds: readonly Kind[] = [
  skopeo('by the config.json of docker'),
  skopeo('by registries.conf'),
  podmanOr('podman'),
  podmanOr('buildah'),
  crane(),
  docker(),
]

describe('docker-credential-berth', () => {
  let upstream: ArtifactRegistryUpstream
  let image: Image
  before(async () => {
    upstream = await artifactRegistryUpstream({ grant: 'impersonation' })
    image = makeLayeredImage({
      layers: [await makeLayer('one', 200 * 1024), await makeLayer('two', 100 * 1024)],
    })
    upstream.put(repository, 'v1', image)
  })
  after(() => upstream?.close())

  for (const kind of kinds) {
    test(`lets ${kind.name} pull from Artifact Registry, with a token that nobody else sees (A108)`, () =>
      around(upstream, 'with', async (surroundings) => {
        const watch = watchArguments()
        const { status, output } = await kind.pull(surroundings).finally(watch.stop)
        assert.equal(status, 0, output)
        await kind.check(surroundings, image)
        const secrets = upstream.secrets()
        assert.ok(secrets.length > 0)
        assert.ok(watch.seen().some((line) => line.includes('docker-credential-berth')))
        for (const text of [output, ...watch.seen()])
          assert.ok(!secrets.some((secret) => text.includes(secret)), 'a token is to be seen')
      }))

    test(`is what ${kind.name} needs to do so`, () =>
      around(upstream, 'without', async (surroundings) => {
        const { status, output } = await kind.pull(surroundings)
        assert.notEqual(status, 0)
        assert.match(output, /unauth|denied|403|401/i)
      }))
  }

  test('does not stand in the way of a registry that it knows nothing of', async (t) => {
    const authority = await createAuthority('other')
    t.after(authority.remove)
    const tls = await authority.issue(['IP:127.0.0.1'])
    const other = await startArtifactRegistry({ accessTokens: upstream.google.accessTokens, tls })
    t.after(other.stop)
    const image = `${other.host}/${repository}:v1`
    await around(upstream, 'with', async (surroundings) => {
      const asked = { ...surroundings, image, authority: authority.file }
      const { output } = await skopeo('by registries.conf').pull(asked)
      assert.doesNotMatch(output, /credential/)
    })
    assert.ok(other.count(/^GET \/v2\/token/) > 0, 'it was asked for a token, by nobody')
    for (const { headers } of other.requests)
      assert.doesNotMatch(headers.authorization ?? '', /^Basic/)
  })

  test('has podman and docker tell why there is no token', async () => {
    await upstream.google.stop()
    for (const kind of [podmanOr('podman'), docker()])
      await around(upstream, 'with', async (surroundings) => {
        const { status, output } = await kind.pull(surroundings)
        assert.notEqual(status, 0)
        assert.match(output, /berth: no credential for 127\.0\.0\.1:\d+ as /)
      })
  })
})

/** A directory, a path on which the helper is, and a docker configuration that names it or does not. */
async function around(
  { registry, config }: ArtifactRegistryUpstream,
  helper: 'with' | 'without',
  use: (surroundings: Surroundings) => Promise<void>,
): Promise<void> {
  const directory = await mkdtemp(join(tmpdir(), 'berth-helper-'))
  const programs = join(directory, 'bin')
  await mkdir(programs)
  await symlink(main, join(programs, 'docker-credential-berth'))
  await writeFile(join(directory, 'berth.yaml'), stringify({ upstreams: [config] }))
  const helpers = helper === 'with' ? 'berth' : 'containers-auth.json'
  await writeFile(join(directory, 'registries.conf'), `credential-helpers = ["${helpers}"]\n`)
  const docker = helper === 'with' ? { credHelpers: { [registry.host]: 'berth' } } : {}
  await writeFile(join(directory, 'config.json'), JSON.stringify(docker))
  const path = [programs, dirname(process.execPath), '/usr/sbin', '/usr/bin', '/sbin', '/bin']
  const own = join(directory, 'own')
  await mkdir(own)
  try {
    await use({
      image: `${registry.host}/${repository}:v1`,
      directory: own,
      authority: String(config['certificateAuthorities']),
      registries: join(directory, 'registries.conf'),
      environment: {
        PATH: path.join(':'),
        HOME: own,
        XDG_RUNTIME_DIR: own,
        BERTH_CONFIG: join(directory, 'berth.yaml'),
        DOCKER_CONFIG: directory,
        REGISTRY_AUTH_FILE: join(directory, 'config.json'),
      },
    })
  } finally {
    await attempt(['rm', '-rf', '--one-file-system', directory])
  }
}

/** It knows both ways; the second is for all registries. */
function skopeo(way: 'by the config.json of docker' | 'by registries.conf'): Kind {
  return {
    name: `skopeo, ${way},`,
    pull: async ({ image, directory, authority, registries, environment: given }) => {
      const policy = await acceptAnything(directory)
      const environment =
        way === 'by registries.conf' ? { ...given, CONTAINERS_REGISTRIES_CONF: registries } : given
      const trust = await trustFlags(directory, authority, 'src-')
      const copy = ['skopeo', '--policy', policy, 'copy', ...trust, `docker://${image}`]
      return attempt([...copy, `dir:${join(directory, 'image')}`], { environment })
    },
    check: async ({ directory }, image) => {
      for (const [digest, bytes] of contentOf([image])) {
        const file = digest === image.digest ? 'manifest.json' : digest.replace('sha256:', '')
        assert.ok(bytes.equals(await readFile(join(directory, 'image', file))), file)
      }
    },
  }
}

function podmanOr(name: 'podman' | 'buildah'): Kind {
  const program = (directory: string) => [
    ...[name, '--storage-driver', 'vfs'],
    ...['--root', join(directory, 'root'), '--runroot', join(directory, 'run')],
  ]
  const settings = async ({ directory, environment }: Surroundings) => {
    await mkdir(join(directory, 'tmp'), { recursive: true })
    const registries = join(directory, 'registries.conf')
    await writeFile(registries, 'unqualified-search-registries = []\n')
    return {
      environment: {
        ...environment,
        TMPDIR: join(directory, 'tmp'),
        CONTAINERS_CONF: '/dev/null',
        CONTAINERS_REGISTRIES_CONF: registries,
      },
    }
  }
  return {
    name,
    pull: async (around) => {
      const { image, directory, authority } = around
      const policy = await acceptAnything(directory)
      const trust = await trustFlags(directory, authority)
      const pull = ['pull', ...trust, '--signature-policy', policy, image]
      return attempt([...program(directory), ...pull], await settings(around))
    },
    check: async (around, { digest }) => {
      const listed = [...program(around.directory), 'images', '--digests']
      assert.ok((await run(listed, await settings(around))).includes(digest))
    },
  }
}

function crane(): Kind {
  return {
    name: 'crane',
    pull: ({ image, directory, authority, environment }) =>
      attempt([tool('crane'), 'pull', '--format', 'oci', image, join(directory, 'image')], {
        environment: { ...environment, SSL_CERT_FILE: authority },
      }),
    check: async ({ directory }, image) => {
      for (const [digest, bytes] of contentOf([image])) {
        const file = join(directory, 'image', 'blobs', digest.replace(':', '/'))
        assert.ok(bytes.equals(await readFile(file)), file)
      }
    },
  }
}

/** Whose daemon is told by the client what the helper says to the client; it trusts any 127.0.0.1. */
function docker(): Kind {
  return {
    name: 'docker',
    pull: async ({ image, directory, environment }) => {
      const daemon = await startDockerd(directory)
      try {
        const client = ['/usr/bin/docker', '--host', daemon.address]
        const pulled = await attempt([...client, 'pull', image], { environment })
        const inspected = await attempt([...client, 'image', 'inspect', image], { environment })
        await writeFile(join(directory, 'inspected.json'), inspected.stdout)
        return pulled
      } finally {
        await daemon.kill()
        await rm(join(directory, 'data'), { recursive: true, force: true })
      }
    },
    check: async ({ directory }, image) => {
      const text = await readFile(join(directory, 'inspected.json'), 'utf8')
      assert.equal(JSON.parse(text)[0].Id, image.blobs[0]?.digest)
    },
  }
}

async function acceptAnything(directory: string): Promise<string> {
  const policy = join(directory, 'policy.json')
  await writeFile(policy, JSON.stringify({ default: [{ type: 'insecureAcceptAnything' }] }))
  return policy
}
