import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { cpus, tmpdir } from 'node:os'
import { join } from 'node:path'
import { parseArgs } from 'node:util'
import { hash } from '@node-rs/bcrypt'
import { measureArchives } from './archives.ts'
import { blobFile, createContent } from './content.ts'
import { measureColdPages, measureHits } from './hits.ts'
import { measureManifests } from './manifests.ts'
import { load, type Row } from './measure.ts'
import {
  type Bench,
  findProgram,
  type Peer,
  startBare,
  startBerth,
  startNginx,
  startRegistry,
} from './peers.ts'
import { measurePulls, type Programs } from './pulls.ts'
import { measurePushes } from './pushes.ts'
import { isMet, toPicture, toTable } from './report.ts'
import { measurePausedReaders, measureStarts } from './starts.ts'
import { measureTunnel } from './tunnel.ts'

const help = `npm run bench [-- options]

Measures Berth beside Debian's docker-registry, nginx and, where there is one, Distribution 3, all on
this machine and in turns. Prints ratios; writes bench.json and bench.svg.

  --quick          less of everything: minutes instead of twenty, and rougher
  --only <part>    hits, manifests, pulls, pushes, archives or starts; may be repeated.
                   tunnel is measured only if it is named: it starts a Kubernetes, as root, after .ci/install
  --output <dir>   where the files go (default test/bench/results)
`

const { values: options } = parseArgs({
  options: {
    quick: { type: 'boolean', default: false },
    only: { type: 'string', multiple: true, default: [] },
    output: { type: 'string', default: 'test/bench/results' },
    help: { type: 'boolean', default: false },
  },
})

const peers: Peer[] = []

// Child processes would continue.
for (const signal of ['SIGINT', 'SIGTERM']) process.on(signal, () => process.exit(1))

async function main(): Promise<void> {
  const programs = requirePrograms()
  const { quick } = options
  const scale = quick
    ? {
        rounds: 1,
        seconds: 1,
        pull: 64,
        clients: 10,
        blobs: 10_000,
        layer: 100,
        images: 100,
        archive: 100,
        transfer: 100,
      }
    : {
        rounds: 3,
        seconds: 3,
        pull: 256,
        clients: 50,
        blobs: 100_000,
        layer: 1000,
        images: 500,
        archive: 400,
        transfer: 500,
      }
  const directory = mkdtempSync(join(tmpdir(), 'berth-bench-'))
  let port = 31_000
  const bench: Bench = { directory, nextPort: () => (port += 1) }
  const wanted = (part: string) => options.only.length === 0 || options.only.includes(part)
  const rows: Row[] = []
  const report = (found: readonly Row[]) => {
    rows.push(...found)
    process.stdout.write(`${toTable(found).split('\n').slice(2).join('\n')}\n`)
  }

  try {
    progress('making content')
    const content = createContent(join(directory, 'content'), [10, 200, scale.pull])
    const start = async (peer: Promise<Peer>) => {
      peers.push(await peer)
      return peer
    }
    const registry = await start(
      startRegistry(bench, {
        program: programs.registry,
        name: 'docker-registry',
        storage: content.root,
      }),
    )
    const upstream = `http://127.0.0.1:${registry.port}`

    if (wanted('hits')) {
      progress('hits')
      const cache = join(directory, 'cache')
      const holdFile = join(directory, 'hold')
      const berth = await start(startBerth(bench, { upstream, storage: cache, holdFile }))
      const nginx = await start(startNginx(bench, { program: programs.nginx, root: content.root }))
      for (const digest of Object.values(content.blobs))
        await load(berth, { path: `/v2/${content.name}/blobs/${digest}` })
      const files = { cache: join(cache, 'cache'), holdFile }
      const hits = { ...scale, ...files, content, berth, registry, nginx }
      report(await measureHits(hits))
      report(await measureColdPages(hits))
      report(await measurePausedReaders({ content, berth, readers: quick ? 200 : 1000 }))
    }

    if (wanted('manifests')) {
      progress('manifests')
      const htpasswd = join(directory, 'htpasswd')
      writeFileSync(
        htpasswd,
        `bench:${await hash('bench-password', { cost: 10, version: '2y' })}\n`,
      )
      const authorization = `Basic ${Buffer.from('bench:bench-password').toString('base64')}`
      const berth = await start(
        startBerth(bench, { upstream, storage: join(directory, 'manifests'), htpasswd }),
      )
      const guarded = await start(
        startRegistry(bench, {
          program: programs.registry,
          name: 'docker-registry',
          storage: content.root,
          htpasswd,
        }),
      )
      const { distribution: program } = programs
      const distribution =
        program === undefined
          ? undefined
          : await start(
              startRegistry(bench, { program, name: 'Distribution 3', storage: content.root }),
            )
      const bare = await start(startBare(bench, blobFile(content.root, content.manifest)))
      report(
        await measureManifests({
          ...scale,
          content,
          berth,
          bare,
          registry: guarded,
          distribution,
          authorization,
        }),
      )
    }

    if (wanted('pulls')) {
      progress(`pulls; docker-registry takes minutes for its ${scale.clients} clients`)
      report(await measurePulls({ ...scale, bench, content, size: `${scale.pull}MB`, programs }))
    }

    if (wanted('pushes')) {
      progress('pushes')
      report(await measurePushes({ ...scale, bench, programs }))
    }

    if (wanted('archives')) {
      progress('archives')
      report(await measureArchives({ ...scale, bench, programs }))
    }

    if (wanted('starts')) {
      progress('starts')
      report(await measureStarts({ ...scale, bench, upstream }))
    }

    if (options.only.includes('tunnel')) {
      progress('tunnel')
      report(await measureTunnel({ ...scale, directory }))
    }
    write(rows)
  } finally {
    await Promise.all(peers.map((peer) => peer.stop()))
    rmSync(directory, { recursive: true, force: true })
  }
}

function requirePrograms(): Programs {
  const registry = findProgram('docker-registry')
  const nginx = findProgram('nginx', '../sbin/nginx')
  if (registry === undefined || nginx === undefined) {
    throw new Error(
      'docker-registry and nginx are what is compared with: apt-get install docker-registry nginx-light',
    )
  }
  return { registry, nginx, distribution: findProgram('registry3', 'registry') }
}

function write(rows: readonly Row[]): void {
  const { output, quick } = options
  const met = rows.filter(isMet).length
  const machine = `${cpus().length} × ${cpus()[0]?.model ?? 'unknown'}, Node ${process.versions.node}`
  mkdirSync(output, { recursive: true })
  writeFileSync(
    join(output, 'bench.json'),
    `${JSON.stringify({ machine, quick, rows }, null, 2)}\n`,
  )
  writeFileSync(
    join(output, 'bench.svg'),
    toPicture(rows, `${machine}${quick ? ', quick run' : ''}.`),
  )
  process.stdout.write(
    `\n${met} of ${rows.length} targets met on ${machine}; written to ${output}\n`,
  )
}

function progress(what: string): void {
  process.stderr.write(`… ${what}\n`)
}

if (options.help) process.stdout.write(help)
else await main()
