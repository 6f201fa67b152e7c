import { copyFile, mkdir, mkdtemp, writeFile } from 'node:fs/promises'
import { basename, dirname, join } from 'node:path'
import { stringify } from 'yaml'
import { buildahIn } from './berth-image.ts'
import { run } from './programs.ts'

/** Debian's docker-registry in an image that is used like Distribution's own, `registry:2`. */
export const registryImage = 'berth.test/registry:2'

/** What the configuration of Distribution's image has; containers change it by variables. */
const config = {
  version: 0.1,
  storage: { filesystem: { rootdirectory: '/var/lib/registry' } },
  http: { addr: ':5000' },
}

/** Writes an archive of it. Its path. */
export async function buildRegistryImage(directory: string): Promise<string> {
  const context = await mkdtemp(join(directory, 'registry-'))
  const copies: string[] = []
  const add = async (from: string, to: string) => {
    copies.push(`COPY ${basename(from)} ${to}`)
    await copyFile(from, join(context, basename(from)))
  }
  const program = (await run(['sh', '-c', 'command -v docker-registry'])).trim()
  await add(program, '/bin/registry')
  for (const library of await librariesOf(program)) await add(library, library)
  await writeFile(join(context, 'config.yml'), stringify(config))
  const file = '/etc/docker/registry/config.yml'
  const lines = [
    'FROM scratch',
    ...copies,
    `COPY config.yml ${file}`,
    `ENTRYPOINT ${JSON.stringify(['/bin/registry', 'serve', file])}`,
  ]
  await writeFile(join(context, 'Dockerfile'), `${lines.join('\n')}\n`)
  const storage = join(context, 'storage')
  await mkdir(storage)
  const options = { environment: await buildahIn(storage), patience: 120 }
  const archive = join(dirname(context), 'registry.tar')
  await run(['buildah', 'build', '--quiet', '--tag', registryImage, context], options)
  await run(
    ['buildah', 'push', '--quiet', registryImage, `docker-archive:${archive}:${registryImage}`],
    options,
  )
  return archive
}

/** Paths of the shared libraries of a program, and of its loader. */
async function librariesOf(program: string): Promise<readonly string[]> {
  const found = await run(['ldd', program])
  return [...found.matchAll(/(?:=> |^\s+)(\/\S+) \(0x/gm)].map(([, path = '']) => path)
}
