import { createHash } from 'node:crypto'
import { mkdir, mkdtemp, readFile, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { basename, join, resolve } from 'node:path'
import { Command, Option } from 'commander'
import { licensesOf, packagesOf } from '../../src/bundled-packages.ts'
import { buildExecutable } from './build-executable.ts'
import { type Bundle, bundle } from './bundle.ts'
import { type Download, krewManifest } from './krew.ts'
import { unpacked } from './packages.ts'
import { nameOf, nodeVersion, type Platform, platforms } from './platforms.ts'
import { sign } from './sign.ts'
import { tarArchive } from './tar-archive.ts'

type Options = {
  readonly platform: readonly string[]
  readonly output: string
  readonly url?: string
  readonly identity?: string
}

type Package = { readonly version: string; readonly homepage: string }

const root = new URL('../../', import.meta.url).pathname

const howToSign =
  'macOS on Apple silicon does not start it before "codesign --sign - kubectl-berth"; build on macOS, or with rcodesign in PATH'

// What `npm run executables` does.
await new Command('npm run executables --')
  .description(
    'Build executables of Berth that need no Node.js, their checksums, and a manifest for krew',
  )
  .addOption(
    new Option('--platform <os_arch...>', 'only for these platforms')
      .choices(platforms.map(nameOf))
      .default(platforms.map(nameOf), 'all'),
  )
  .option('--output <directory>', 'where the files are written', join(root, '.executables'))
  .option(
    '--url <url>',
    'where the archives will be, for krew (default: the release of this version)',
  )
  .option(
    '--identity <name>',
    'on macOS, the certificate that signs (default: an ad-hoc signature)',
  )
  .action(makeExecutables)
  .parseAsync()

async function makeExecutables(options: Options): Promise<void> {
  const { version, homepage }: Package = JSON.parse(
    await readFile(join(root, 'package.json'), 'utf8'),
  )
  const output = resolve(options.output)
  const url = options.url ?? `${homepage}/releases/download/v${version}`
  await mkdir(output, { recursive: true })
  const directory = await mkdtemp(join(tmpdir(), 'berth-executables-'))
  try {
    const bundled = await bundle(directory, version)
    const downloads: Download[] = []
    for (const platform of platforms.filter((one) => options.platform.includes(nameOf(one)))) {
      const program = await buildExecutable(platform, bundled, directory)
      const signed = await sign(platform, program, options.identity)
      const file = join(output, `berth_${version}_${nameOf(platform)}.tar.gz`)
      const archive = await archiveOf(platform, bundled, program)
      await writeFile(file, archive)
      downloads.push({
        os: platform.os,
        arch: platform.arch,
        uri: `${url.replace(/\/$/, '')}/${basename(file)}`,
        sha256: createHash('sha256').update(archive).digest('hex'),
        bin: nameInArchive(platform),
      })
      const note = signed === 'unsigned' ? `, UNSIGNED: ${howToSign}` : ''
      process.stdout.write(`wrote ${file}, ${Math.round(archive.length / 1e6)} MB${note}\n`)
    }
    const sums = downloads.map(({ sha256, uri }) => `${sha256}  ${basename(uri)}\n`).join('')
    await writeFile(join(output, `berth_${version}_SHA256SUMS`), sums)
    await writeFile(join(output, 'berth.yaml'), krewManifest(downloads, { version, homepage }))
  } finally {
    await rm(directory, { recursive: true, force: true })
  }
}

/** The program has the name that kubectl looks for; krew extracts files, and no links. */
async function archiveOf(platform: Platform, { inputs }: Bundle, program: string): Promise<Buffer> {
  // Not all packages of Node have its licence.
  const node = await unpacked(platforms[0].node, nodeVersion)
  return tarArchive([
    { name: nameInArchive(platform), content: await readFile(program), mode: 0o755 },
    { name: 'LICENSE', content: await readFile(join(root, 'LICENSE')), mode: 0o644 },
    { name: 'LICENSE.node', content: await readFile(join(node, 'LICENSE')), mode: 0o644 },
    {
      name: 'LICENSE.packages',
      content: Buffer.from(await licensesOf(await packagesOf(inputs))),
      mode: 0o644,
    },
  ])
}

function nameInArchive({ os }: Platform): string {
  return os === 'windows' ? 'kubectl-berth.exe' : 'kubectl-berth'
}
