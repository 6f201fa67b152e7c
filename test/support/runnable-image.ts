import { randomBytes } from 'node:crypto'
import { copyFile, mkdir, mkdtemp, writeFile } from 'node:fs/promises'
import { arch, tmpdir } from 'node:os'
import { join } from 'node:path'
import { removeDirectory } from './directory.ts'
import type { Image } from './images.ts'
import { makeLayeredImage, packLayer } from './layered-images.ts'
import { run } from './programs.ts'

/** Debian's busybox-static: it runs in an image where there is nothing else. */
const busybox = '/bin/busybox'
const architecture = arch() === 'x64' ? 'amd64' : arch()

/** The program of the image's container: waits until it is terminated. */
export const idle = [busybox, 'sh', '-c', 'trap exit TERM; while :; do busybox sleep 1; done']

/** An image with busybox and `size` bytes that no other image has. */
export async function makeRunnableImage(size = 2_000_000): Promise<Image> {
  const directory = await mkdtemp(join(tmpdir(), 'berth-runnable-'))
  try {
    await mkdir(join(directory, 'bin'))
    await copyFile(busybox, join(directory, 'bin', 'busybox'))
    const programs = await packLayer(directory, 'bin')
    await mkdir(join(directory, 'opt'))
    await writeFile(join(directory, 'opt', 'data'), randomBytes(size))
    const data = await packLayer(directory, 'opt')
    return makeLayeredImage({ layers: [programs, data], architecture })
  } finally {
    await removeDirectory(directory)
  }
}

/** Writes an archive of what holds a pod's name spaces, and of a shell to look at nodes with. Its path. */
export async function buildPauseImage(directory: string, name: string): Promise<string> {
  const context = await mkdtemp(join(directory, 'pause-'))
  await copyFile(busybox, join(context, 'busybox'))
  const command = JSON.stringify(idle)
  const programs = ['busybox', 'sh', 'sleep', 'chroot'].map((each) => `COPY busybox /bin/${each}`)
  const lines = ['FROM scratch', ...programs, `ENTRYPOINT ${command}`]
  await writeFile(join(context, 'Dockerfile'), `${lines.join('\n')}\n`)
  const archive = join(context, 'image.tar')
  const buildah = [
    'buildah',
    `--root=${join(context, 'storage')}`,
    `--runroot=${join(context, 'run')}`,
    '--storage-driver=vfs',
  ]
  await run([...buildah, 'build', '--quiet', '--isolation=chroot', '--tag', name, context])
  await run([...buildah, 'push', '--quiet', name, `docker-archive:${archive}:${name}`])
  return archive
}
