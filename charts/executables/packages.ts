import { createHash } from 'node:crypto'
import { access, mkdir, mkdtemp, readFile, rename, rm } from 'node:fs/promises'
import { join } from 'node:path'
import type { PinnedPackage } from './platforms.ts'
import { run } from './run.ts'

/** Where unpacked packages are kept. */
const cache = new URL('../../node_modules/.cache/executables/', import.meta.url).pathname

/**
 * The directory of a package, as npm downloads it. Its scripts are not run.
 * @throws ExecutableError if its content is not what it should be.
 */
export async function unpacked(
  { name, integrity }: PinnedPackage,
  version: string,
): Promise<string> {
  const target = join(cache, `${name.replace('/', '+')}@${version}`)
  // The directory appears as a whole.
  if (await exists(target)) return join(target, 'package')
  await mkdir(cache, { recursive: true })
  const directory = await mkdtemp(join(cache, 'new-'))
  try {
    const spec = `${name}@${version}`
    const options = ['--json', '--ignore-scripts', '--pack-destination', directory]
    const [{ filename }] = JSON.parse(await run(['npm', 'pack', spec, ...options])) as [
      { filename: string },
    ]
    const file = join(directory, filename)
    const found = createHash('sha512')
      .update(await readFile(file))
      .digest('base64')
    if (`sha512-${found}` !== integrity)
      throw new Error(`${spec} is sha512-${found}, and should be ${integrity}`)
    await run(['tar', '-xzf', file, '-C', directory, '--no-same-owner'])
    await rm(file)
    await rename(directory, target)
  } catch (error) {
    await rm(directory, { recursive: true, force: true })
    // Another process was faster.
    if (!(await exists(target))) throw error
  }
  return join(target, 'package')
}

async function exists(path: string): Promise<boolean> {
  return access(path).then(
    () => true,
    () => false,
  )
}
