import { createHash } from 'node:crypto'
import { existsSync } from 'node:fs'
import {
  copyFile,
  mkdir,
  mkdtemp,
  readdir,
  readFile,
  realpath,
  rename,
  rm,
  stat,
  writeFile,
} from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { removeDirectory } from './directory.ts'
import { run } from './programs.ts'

/** Berth's own image, as clusters know it. */
export const berthImage = { repository: 'berth.test/berth', tag: 'test' } as const

const project = new URL('../../', import.meta.url).pathname
const archives = join(project, '.ci', 'images')
/** `npm run image`. */
export const imageCommand = [process.execPath, join(project, 'charts/image/image.ts')]
/** What Node and npm need of a system. */
const packages = 'base-files,libc6,libstdc++6,dash,coreutils,findutils,tar'

/**
 * An archive of the image that the Dockerfile makes, built by buildah on a base of Debian's packages.
 * It is cached, and rebuilt when its sources have changed. Returns its path.
 */
export async function buildBerthImage(): Promise<string> {
  const name = `berth-${await inputs()}.tar`
  const archive = join(archives, name)
  await mkdir(archives, { recursive: true })
  while (!existsSync(archive)) if (await buildAlone(archive)) break
  const others = (await readdir(archives)).filter((each) => each !== name && each.endsWith('.tar'))
  for (const other of others) await rm(join(archives, other), { force: true })
  return archive
}

/** Files of tests run side by side. False: another one has built it meanwhile, or its build has failed. */
async function buildAlone(archive: string): Promise<boolean> {
  const lock = `${archive}.lock`
  if (!(await acquire(lock))) return false
  const directory = await mkdtemp(join(tmpdir(), 'berth-image-'))
  try {
    const unfinished = join(directory, 'unfinished.tar')
    await build(directory, unfinished)
    await copyFile(unfinished, `${archive}.new`)
    await rename(`${archive}.new`, archive)
    return true
  } finally {
    await removeDirectory(lock)
    await removeDirectory(directory)
  }
}

/** Longer than a build takes; in milliseconds. */
const maxLockAge = 10 * 60_000

/** Waits for the holder of the lock, unless it was killed. */
async function acquire(lock: string): Promise<boolean> {
  try {
    await mkdir(lock)
    return true
  } catch {
    const held = await stat(lock).catch(() => undefined)
    if (held !== undefined && Date.now() - held.mtimeMs > maxLockAge) await removeDirectory(lock)
    await sleep(500)
    return false
  }
}

/** By `npm run image`, on bases that are built here, without requests to a registry. */
async function build(directory: string, archive: string): Promise<void> {
  const environment = await buildahIn(directory)
  const options = { environment, patience: 300 }
  const buildah = async (...args: readonly string[]) =>
    (await run(['buildah', ...args], options)).trim()

  const base = join(directory, 'base.tar')
  await run(['mmdebstrap', '--variant=extract', `--include=${packages}`, 'bookworm', base], options)
  const container = await buildah('from', 'scratch')
  await buildah('add', '--quiet', container, base, '/')
  await buildah('commit', '--quiet', container, 'localhost/runtime')
  await addBuildTools(container, buildah, directory)
  await buildah('commit', '--quiet', '--rm', container, 'localhost/build')
  const name = `${berthImage.repository}:${berthImage.tag}`
  const bases = ['--build-image=localhost/build', '--runtime-image=localhost/runtime']
  const wanted = ['--tool=buildah', `--name=${name}`, `--archive=${archive}`]
  await run([...imageCommand, ...bases, ...wanted], options)
}

/** The environment of a buildah, or a podman, that keeps its images in a directory. */
export async function buildahIn(directory: string): Promise<Readonly<Record<string, string>>> {
  const file = join(directory, 'storage.conf')
  const places = `graphroot = "${join(directory, 'storage')}"\nrunroot = "${join(directory, 'run')}"`
  await writeFile(file, `[storage]\ndriver = "vfs"\n${places}\n`)
  return {
    HOME: directory,
    TMPDIR: directory,
    BUILDAH_ISOLATION: 'chroot',
    CONTAINERS_STORAGE_CONF: file,
    CONTAINERS_STORAGE_DRIVER: 'vfs',
  }
}

/** The Node, npm and libraries of this machine, so that no network is needed. */
async function addBuildTools(
  container: string,
  buildah: (...args: readonly string[]) => Promise<string>,
  directory: string,
): Promise<void> {
  const cli = await realpath((await run(['sh', '-c', 'command -v npm'])).trim())
  const npm = join(cli, '..', '..')
  const copy = (from: string, to: string) => buildah('copy', '--quiet', container, from, to)
  await copy(process.execPath, '/usr/local/bin/node')
  // Where Node's own images have it.
  const installed = join(project, 'node_modules/node/node_modules', `node-linux-${process.arch}`)
  await copy(join(installed, 'LICENSE'), '/usr/local/LICENSE')
  await copy(npm, '/usr/local/lib/node_modules/npm')
  // Large, and not needed: what tests have unpacked, another Node, and what checks the sources.
  const ignored = join(directory, 'ignored')
  const unneeded = ['.cache', 'node', '@biomejs', 'playwright-core']
  await writeFile(ignored, unneeded.map((name) => `node_modules/${name}\n`).join(''))
  const without = ['--contextdir', project, '--ignorefile', ignored]
  await buildah(
    'copy',
    '--quiet',
    ...without,
    container,
    join(project, 'node_modules'),
    '/src/node_modules',
  )
  const commands = [
    'ln -s ../lib/node_modules/npm/bin/npm-cli.js /usr/local/bin/npm',
    'touch /src/node_modules/.package-lock.json',
  ]
  await buildah('run', container, '--', 'sh', '-ec', commands.join('\n'))
}

/** A digest of all sources of the image. */
async function inputs(): Promise<string> {
  const sources = await Promise.all(
    ['src', 'charts/image'].map((name) =>
      readdir(join(project, name), { recursive: true, withFileTypes: true }),
    ),
  )
  const files = sources
    .flat()
    .filter((entry) => entry.isFile())
    .map(({ parentPath, name }) => join(parentPath, name))
    .toSorted()
  const others = ['Dockerfile', '.dockerignore', 'LICENSE', 'package.json', 'package-lock.json']
  const hash = createHash('sha256').update(packages)
  for (const file of [...others.map((name) => join(project, name)), ...files])
    hash.update(file.slice(project.length)).update(await readFile(file))
  return hash.digest('hex').slice(0, 16)
}
