import { writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { run, startIsolated, tool } from './programs.ts'

type Options = {
  /** A registry that it reaches by plain HTTP, with this login. */
  readonly registry?: {
    readonly host: string
    readonly login: { readonly user: string; readonly password: string }
  }
}

/** A BuildKit of a test's own below an empty directory, with nothing in its cache. It builds what needs no container. */
export async function startBuildkit(directory: string, { registry }: Options = {}) {
  const config = join(directory, 'buildkitd.toml')
  const plain = registry === undefined ? '' : `[registry."${registry.host}"]\n  http = true\n`
  await writeFile(config, plain)
  const address = `unix://${join(directory, 'buildkitd.sock')}`
  const worker = ['--oci-worker=true', '--oci-worker-snapshotter=native', '--oci-worker-net=host']
  const places = ['--config', config, '--root', join(directory, 'root'), '--addr', address]
  const environment = { HOME: directory, DOCKER_CONFIG: directory }
  const daemon = startIsolated(
    [tool('buildkitd'), ...places, '--containerd-worker=false', ...worker],
    { directory, environment },
  )
  await daemon.wrote(/running server on/)
  if (registry !== undefined) {
    const { host, login } = registry
    const auth = Buffer.from(`${login.user}:${login.password}`).toString('base64')
    await writeFile(join(directory, 'config.json'), JSON.stringify({ auths: { [host]: { auth } } }))
  }
  const build = (context: string, ...words: readonly string[]) =>
    run(
      [
        ...[tool('buildctl'), '--addr', address, 'build', '--progress', 'plain'],
        ...['--frontend', 'dockerfile.v0', '--local', `context=${context}`],
        ...['--local', `dockerfile=${context}`, ...words],
      ],
      { environment },
    )
  return { build, kill: daemon.kill }
}
