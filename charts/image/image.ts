import { mkdtemp, readFile, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join, resolve } from 'node:path'
import { fileURLToPath } from 'node:url'
import { Command, Option } from 'commander'
import { archive, build, findTool, push, type Tool, tools } from './builders.ts'
import type { Archived } from './containerd.ts'
import { load, places } from './loaders.ts'
import { ImageError, run, succeeds } from './run.ts'

type Options = {
  readonly tool?: Tool
  readonly name?: string
  readonly platform?: string
  readonly buildImage?: string
  readonly runtimeImage?: string
  readonly push?: string
  readonly archive?: string
  readonly from?: string
  readonly load: readonly string[]
  readonly context?: string
  readonly socket?: string
  readonly helperImage: string
}

const context = fileURLToPath(new URL('../../', import.meta.url))

// What `npm run image` does.
await new Command('npm run image --')
  .description("Build Berth's own image and load it where it will run")
  .addOption(
    new Option('--tool <tool>', 'build tool (default: the first that works)').choices(tools),
  )
  .option('--name <name:tag>', 'name of the image (default: localhost/berth:VERSION)')
  .option('--platform <os/arch>', 'platform (default: that of this machine)')
  .option(
    '--build-image <image>',
    'base image of the build stage, with Node 24 and npm (default: see the Dockerfile)',
  )
  .option(
    '--runtime-image <image>',
    'base image of the result, with glibc and libstdc++ (default: see the Dockerfile)',
  )
  .option('--push <repository[:tag]>', 'also push the image to this repository')
  .addOption(
    new Option(
      '--from <file>',
      'load this existing archive instead of building an image',
    ).conflicts(['tool', 'platform', 'buildImage', 'runtimeImage', 'push', 'archive']),
  )
  .option('--archive <file>', 'also write the image to a file, for `ctr -n k8s.io images import`')
  .option('--load <where>', `${places.join(', ')}, or kind:CLUSTER (repeatable)`, collect, [])
  .option('--context <name>', 'kubectl context for --load nodes (default: the current one)')
  .option(
    '--socket <path>',
    "path of containerd's socket for --load containerd and nodes (default: the usual ones)",
  )
  .option(
    '--helper-image <image>',
    'image of the pods of --load nodes; it needs sh, sleep and chroot',
    'docker.io/library/busybox:stable',
  )
  .addHelpText('after', examples())
  .action(makeImage)
  .parseAsync()
  .catch((error: unknown) => {
    if (!(error instanceof ImageError)) throw error
    process.stderr.write(`npm run image: ${error.message}\n`)
    process.exitCode = 1
  })

async function makeImage(options: Options): Promise<void> {
  const { version, homepage } = JSON.parse(await readFile(join(context, 'package.json'), 'utf8'))
  const name = options.name ?? `localhost/berth:${version}`
  if (options.from !== undefined) return loadAll({ name, file: resolve(options.from) }, options)
  const tool = options.tool ?? (await findTool())
  await build({
    tool,
    name,
    context,
    platform: options.platform,
    labels: await labelsOf(version, homepage),
    buildArguments: { BUILD_IMAGE: options.buildImage, RUNTIME_IMAGE: options.runtimeImage },
  })
  process.stdout.write(`${tool} built ${name}\n`)
  if (options.push !== undefined) {
    const target = /:[^/]+$/.test(options.push) ? options.push : `${options.push}:${version}`
    await push(tool, name, target)
    process.stdout.write(`pushed ${target}\n`)
  }
  if (options.archive === undefined && options.load.length === 0) return
  // The build tool has the image already.
  const elsewhere = options.load.filter((place) => place !== tool)
  await withArchive({ tool, name, file: options.archive }, (file) =>
    loadAll({ name, file }, { ...options, load: elsewhere }),
  )
}

async function loadAll(image: Archived, { load: places, ...options }: Options): Promise<void> {
  for (const place of places) {
    await load(place, image, options)
    process.stdout.write(`loaded ${image.name}: ${place}\n`)
  }
}

/** Labels without a known value are left out. */
async function labelsOf(
  version: string,
  source: string,
): Promise<Readonly<Record<string, string>>> {
  const git = ['git', '-C', context, 'rev-parse', 'HEAD']
  const revision = (await succeeds(git))
    ? (await run(git, { throttledFor: true })).trim()
    : undefined
  const prefix = 'org.opencontainers.image'
  return {
    [`${prefix}.version`]: version,
    [`${prefix}.source`]: source,
    ...(revision !== undefined && { [`${prefix}.revision`]: revision }),
  }
}

type Written = { readonly tool: Tool; readonly name: string; readonly file: string | undefined }

/** A requested file is kept; a temporary one is removed after use. */
async function withArchive(
  { tool, name, file }: Written,
  use: (file: string) => Promise<void>,
): Promise<void> {
  const directory = await mkdtemp(join(tmpdir(), 'berth-image-'))
  const path = file === undefined ? join(directory, 'berth.tar') : resolve(file)
  try {
    await rm(path, { force: true })
    await archive(tool, name, path)
    if (file !== undefined) process.stdout.write(`wrote ${path}\n`)
    await use(path)
  } finally {
    await rm(directory, { recursive: true, force: true })
  }
}

function collect(value: string, before: readonly string[]): readonly string[] {
  return [...before, value]
}

function examples(): string {
  return `
Nodes cannot pull Berth's own image through Berth. With --load nodes they need no registry: a temporary DaemonSet
copies the image to each node with the node's own containerd.

Examples:
  npm run image                                           build localhost/berth:VERSION
  npm run image -- --load kind                            and load it into the nodes of the cluster "kind"
  npm run image -- --load nodes                           and copy it to all nodes of kubectl's cluster
  npm run image -- --archive berth.tar                    and write an archive for ctr -n k8s.io images import
  npm run image -- --from berth.tar --load nodes          copy an existing archive to all nodes
  npm run image -- --push us-docker.pkg.dev/PROJECT/REPO/berth`
}
