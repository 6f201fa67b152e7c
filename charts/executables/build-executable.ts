import { mkdir, readFile, writeFile } from 'node:fs/promises'
import { basename, join } from 'node:path'
import type { Bundle } from './bundle.ts'
import { unpacked } from './packages.ts'
import { addonPackages, nameOf, nodeVersion, type Platform, platforms } from './platforms.ts'
import { run } from './run.ts'

const root = new URL('../../', import.meta.url).pathname

/** Puts the bundle, which is in the directory, into Node's own program of a platform. */
export async function buildExecutable(
  platform: Platform,
  { main, assets }: Bundle,
  directory: string,
): Promise<string> {
  const { node, os } = platform
  const output = join(directory, nameOf(platform), os === 'windows' ? 'berth.exe' : 'berth')
  await mkdir(join(directory, nameOf(platform)), { recursive: true })
  const configuration = {
    // As the executable contains this path, it is the same on all machines.
    main: basename(main),
    mainFormat: 'module',
    executable: join(await unpacked(node, nodeVersion), node.file),
    output,
    assets: { ...assets, ...(await addonsOf(platform)) },
    disableExperimentalSEAWarning: true,
  }
  const file = join(directory, `${nameOf(platform)}.json`)
  await writeFile(file, JSON.stringify(configuration))
  await run([await builder(), '--build-sea', file], { cwd: directory })
  return output
}

async function addonsOf({ addons }: Platform): Promise<Readonly<Record<string, string>>> {
  const files: Record<string, string> = {}
  for (const [name, addon] of Object.entries(addons)) {
    const user = addonPackages[name as keyof typeof addonPackages]
    const path = join(root, 'node_modules', user, 'package.json')
    const { version } = JSON.parse(await readFile(path, 'utf8'))
    files[`${name}.node`] = join(await unpacked(addon, version), addon.file)
  }
  return files
}

/** Node of this machine, of the same version as in the executables. */
async function builder(): Promise<string> {
  const names: Readonly<Record<string, string>> = { x64: 'amd64', win32: 'windows' }
  const { platform: os, arch } = process
  const own = `${names[os] ?? os}_${names[arch] ?? arch}`
  const found = platforms.find((platform) => nameOf(platform) === own)
  if (found === undefined) throw new Error(`executables cannot be built on ${own}`)
  return join(await unpacked(found.node, nodeVersion), found.node.file)
}
