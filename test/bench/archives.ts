import { execFile } from 'node:child_process'
import { hash, randomBytes } from 'node:crypto'
import { mkdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { promisify } from 'node:util'
import { tarFile } from '../support/tar-file.ts'
import { inTurns, median, type Row, ratioOf } from './measure.ts'
import { type Bench, findProgram, startRegistry } from './peers.ts'

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
type Source = { readonly what: string; readonly path: string; readonly transport: string }

const layerCount = 4
const megabyte = 1_000_000

/**
 * The same docker archive, and the same OCI layout, pushed by several clients in turns. Each push has a new
 * docker-registry, so that nothing is there already, and a new home directory.
 */
export async function measureArchives(options: ArchiveOptions): Promise<readonly Row[]> {
  const { bench, rounds, archive } = options
  const [skopeo, crane] = [findProgram('skopeo'), findProgram('crane')]
  if (skopeo === undefined || crane === undefined) return []
  const directory = join(bench.directory, 'archives')
  const path = await writeArchive(directory, archive * megabyte)
  const layout = join(directory, 'layout')
  await execute(skopeo, [
    '--insecure-policy',
    'copy',
    '-q',
    `docker-archive:${path}`,
    `oci:${layout}`,
  ])
  const sources: readonly Source[] = [
    { what: 'a docker archive', path, transport: 'docker-archive' },
    { what: 'an OCI layout', path: layout, transport: 'oci' },
  ]
  const rows: Row[] = []
  for (const source of sources) {
    const commands = commandsFor(source, { skopeo, crane })
    const works = Object.values(commands).map((command) => () => push(command, source, options))
    const [ours = [], ...theirs] = await inTurns(rounds, works)
    const names = Object.keys(commands).slice(1)
    for (const [at, other] of theirs.entries())
      rows.push(...compare(`push of ${source.what} of ${archive} MB: ${names[at]}`, ours, other))
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

async function push(
  command: Command,
  { path }: Source,
  { bench, programs }: ArchiveOptions,
): Promise<Run> {
  const home = join(bench.directory, randomBytes(4).toString('hex'))
  const storage = join(home, 'registry')
  const registry = await startRegistry(bench, {
    program: programs.registry,
    name: 'docker-registry',
    storage,
  })
  try {
    return await timed(command(path, `127.0.0.1:${registry.port}/bench/app:1`), home)
  } finally {
    await registry.stop()
    rmSync(home, { recursive: true, force: true })
  }
}

/** The shell knows the CPU time of its children. */
async function timed(words: readonly string[], home: string): Promise<Run> {
  const script = 'TIMEFORMAT="%R %U %S"; time "$@" >/dev/null'
  const { stderr } = await execute('bash', ['-c', script, 'bash', ...words], {
    env: { ...process.env, HOME: home, XDG_CACHE_HOME: home },
  })
  const [wall = Number.NaN, user = Number.NaN, system = Number.NaN] = (
    stderr.trim().split('\n').at(-1) ?? ''
  )
    .split(' ')
    .map(Number)
  return { wall, cpu: user + system }
}

/** A third of each layer is random; the rest are pieces of a program. */
async function writeArchive(directory: string, size: number): Promise<string> {
  mkdirSync(directory)
  const program = readFileSync(process.execPath)
  const names = []
  const diffIds = []
  for (let layer = 0; layer < layerCount; layer += 1) {
    const files = Array.from({ length: Math.round(size / layerCount / megabyte) }, (_, at) => {
      const start = ((layer * 1000 + at) * 7_919_000) % (program.length - megabyte)
      const content =
        at % 3 === 0 ? randomBytes(megabyte) : program.subarray(start, start + megabyte)
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
