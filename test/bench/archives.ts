import { execFile } from 'node:child_process'
import { hash, randomBytes } from 'node:crypto'
import { mkdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { promisify } from 'node:util'
import { tarFile } from '../support/tar-file.ts'
import { inTurns, median, type Row, ratioOf } from './measure.ts'
import { type Bench, findProgram, startBerth, startRegistry } from './peers.ts'

const execute = promisify(execFile)

type ArchiveOptions = {
  readonly bench: Bench
  readonly programs: { readonly registry: string }
  readonly rounds: number
  /** Megabytes of the archive. */
  readonly archive: number
}

/** In seconds. */
type Run = { readonly wall: number; readonly cpu: number }
type Command = (source: string, target: string) => readonly string[]
type Source = {
  readonly what: string
  readonly path: string
  readonly transport: string
  /** Where it is pushed to as well; always to docker-registry. */
  readonly toBerth?: boolean
}

const layerCount = 4
const megabyte = 1_000_000
/** Of the image of small layers, each with a file of so many bytes. */
const smallLayers = 60
const smallSize = 50_000

/**
 * The same archives and layouts, pushed by several clients in turns. Each push has a new registry, so that nothing is
 * there already, and a new home directory; only code that Node has compiled stays.
 */
export async function measureArchives(options: ArchiveOptions): Promise<readonly Row[]> {
  const { bench, rounds, archive } = options
  const [skopeo, crane] = [findProgram('skopeo'), findProgram('crane')]
  if (skopeo === undefined || crane === undefined) return []
  const directory = join(bench.directory, 'archives')
  const size = (archive * megabyte) / layerCount
  const path = await writeArchive(directory, { layers: layerCount, size })
  const small = join(directory, 'small')
  const smallPath = await writeArchive(small, { layers: smallLayers, size: smallSize })
  const convert = async (from: string, to: string) => {
    const words = ['--insecure-policy', 'copy', '-q', `docker-archive:${from}`, `oci:${to}`]
    await execute(skopeo, words)
    return to
  }
  const layout = await convert(path, join(directory, 'layout'))
  const sized = `of ${archive} MB`
  const sources: readonly Source[] = [
    { what: `a docker archive ${sized}`, path, transport: 'docker-archive', toBerth: true },
    {
      what: `a docker archive ${sized} with layers in gzip`,
      path: await pull(layout, { ...options, crane }),
      transport: 'docker-archive',
    },
    { what: `an OCI layout ${sized}`, path: layout, transport: 'oci', toBerth: true },
    {
      what: `an OCI layout of ${smallLayers} small layers`,
      path: await convert(smallPath, join(small, 'layout')),
      transport: 'oci',
    },
  ]
  const rows: Row[] = []
  for (const source of sources)
    for (const registry of source.toBerth ? registries : registries.slice(0, 1)) {
      const commands = commandsFor(source, { skopeo, crane })
      const works = Object.values(commands).map(
        (command) => () => push(command, { source, registry, ...options }),
      )
      const [ours = [], ...theirs] = await inTurns(rounds, works)
      const names = Object.keys(commands).slice(1)
      const what = `push of ${source.what} to ${registry}`
      for (const [at, other] of theirs.entries())
        rows.push(...compare(`${what}: ${names[at]}`, ours, other))
    }
  return rows
}

function commandsFor(
  { transport }: Source,
  { skopeo, crane }: { readonly skopeo: string; readonly crane: string },
): Readonly<Record<string, Command>> {
  return {
    'berth image push': (from, to) => [
      ...[process.execPath, 'dist/main.js', 'image', 'push', '-q'],
      ...[from, to],
    ],
    'skopeo copy': (from, to) => [
      ...[skopeo, '--insecure-policy', 'copy', '-q', '--dest-tls-verify=false'],
      ...[`${transport}:${from}`, `docker://${to}`],
    ],
    'crane push': (from, to) => [crane, 'push', '--insecure', from, to],
  }
}

type Registry = (typeof registries)[number]
const registries = ['docker-registry', 'Berth'] as const

type Pushing = ArchiveOptions & { readonly source: Source; readonly registry: Registry }

async function push(
  command: Command,
  { source, registry: kind, bench, programs }: Pushing,
): Promise<Run> {
  const home = join(bench.directory, randomBytes(4).toString('hex'))
  const storage = join(home, 'registry')
  const registry = await (kind === 'Berth'
    ? startBerth(bench, { storage })
    : startRegistry(bench, { program: programs.registry, name: kind, storage }))
  try {
    const target = `127.0.0.1:${registry.port}/bench/app:1`
    return await timed(command(source.path, target), { home, caches: bench.directory })
  } finally {
    await registry.stop()
    rmSync(home, { recursive: true, force: true, maxRetries: 5 })
  }
}

/** The archive that crane writes of a layout: its layers stay compressed. */
async function pull(
  layout: string,
  { crane, bench, programs }: ArchiveOptions & { readonly crane: string },
): Promise<string> {
  const storage = join(bench.directory, 'pulled')
  const registry = await startRegistry(bench, {
    program: programs.registry,
    name: 'docker-registry',
    storage,
  })
  try {
    const image = `127.0.0.1:${registry.port}/bench/app:1`
    const path = `${layout}.tar`
    await execute(crane, ['push', '--insecure', layout, image])
    await execute(crane, ['pull', '--insecure', image, path])
    return path
  } finally {
    await registry.stop()
  }
}

/** The shell knows the CPU time of its children. */
async function timed(
  words: readonly string[],
  { home, caches }: { readonly home: string; readonly caches: string },
): Promise<Run> {
  const script = 'TIMEFORMAT="%R %U %S"; time "$@" >/dev/null'
  const { stderr } = await execute('bash', ['-c', script, 'bash', ...words], {
    env: { ...process.env, HOME: home, XDG_CACHE_HOME: caches },
  })
  const [wall = Number.NaN, user = Number.NaN, system = Number.NaN] = (
    stderr.trim().split('\n').at(-1) ?? ''
  )
    .split(' ')
    .map(Number)
  return { wall, cpu: user + system }
}

type Shape = {
  readonly layers: number
  /** Bytes of each. */
  readonly size: number
}

/** A third of the files are random; the rest are pieces of a program. */
async function writeArchive(directory: string, { layers, size }: Shape): Promise<string> {
  mkdirSync(directory)
  const piece = Math.min(size, megabyte)
  const program = readFileSync(process.execPath)
  const names = []
  const diffIds = []
  for (let layer = 0; layer < layers; layer += 1) {
    const files = Array.from({ length: Math.round(size / piece) }, (_, at) => {
      const start = ((layer * 1000 + at) * 7_919_000) % (program.length - megabyte)
      const content =
        (layer + at) % 3 === 0 ? randomBytes(piece) : program.subarray(start, start + piece)
      return { name: `${layer}/${at}`, content }
    })
    const bytes = tarFile(files)
    const hex = hash('sha256', bytes, 'hex')
    names.push(`${hex}.tar`)
    diffIds.push(`sha256:${hex}`)
    writeFileSync(join(directory, `${hex}.tar`), bytes)
  }
  const config = JSON.stringify({
    architecture: 'amd64',
    os: 'linux',
    config: {},
    rootfs: { type: 'layers', diff_ids: diffIds },
  })
  const configName = `${hash('sha256', config, 'hex')}.json`
  writeFileSync(join(directory, configName), config)
  const manifest = [{ Config: configName, RepoTags: ['bench/app:1'], Layers: names }]
  writeFileSync(join(directory, 'manifest.json'), JSON.stringify(manifest))
  const path = join(directory, 'archive.tar')
  await execute('tar', ['-cf', path, '-C', directory, ...names, configName, 'manifest.json'])
  return path
}

function compare(what: string, ours: readonly Run[], theirs: readonly Run[]): readonly Row[] {
  const show = (figure: (run: Run) => number) =>
    [ours, theirs].map((runs) => median(runs.map(figure)).toFixed(1)).join(' and ')
  const ratio = (figure: (run: Run) => number) => ratioOf(theirs, ours, figure)
  return [
    {
      what: `${what}, throughput`,
      value: ratio(({ wall }) => wall),
      unit: 'ratio',
      target: 1,
      better: 'more',
      detail: `${show(({ wall }) => wall)} s`,
    },
    {
      what: `${what}, CPU time`,
      value: 1 / ratio(({ cpu }) => cpu),
      unit: 'ratio',
      target: 1,
      better: 'less',
      detail: `${show(({ cpu }) => cpu)} s`,
    },
  ]
}
