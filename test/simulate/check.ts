import { mkdtempSync, rmSync } from 'node:fs'
import { Agent, get } from 'node:http'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { type Content, createContent } from '../bench/content.ts'
import { type Bench, startBerth, startUpstream } from '../bench/peers.ts'
import { createReplicaGroup } from '../support/replicas.ts'
import { readCosts } from './costs.ts'
import { simulate } from './model.ts'
import { createRandom } from './random.ts'

/** Megabytes of the layers, lowest first. */
const layers = [3, 1, 2]
const clients = 50
const parallel = 3
/** Bytes per second, and milliseconds: slow enough that the CPU of the machine that runs all of it decides nothing. */
const upstreamRate = 1e6
const upstreamDelay = 20
const unpackRate = 2e6
const seed = 1

type Group = { readonly replicas: number; readonly owners: boolean }

const groups: readonly Group[] = [
  { replicas: 1, owners: false },
  { replicas: 3, owners: false },
  { replicas: 3, owners: true },
]

type Run = { readonly transfers: number; readonly lastPod: number }

/** Prints, for one replica, and for three without and with owners, what the model says divided by what was measured. */
export async function check(): Promise<void> {
  const directory = mkdtempSync(join(tmpdir(), 'berth-simulate-'))
  let port = 33_000
  const bench: Bench = { directory, nextPort: () => (port += 1) }
  try {
    const content = createContent(join(directory, 'content'), layers)
    for (const group of groups) {
      const measured = await measure(bench, content, group)
      const modelled = model(group)
      const { replicas, owners } = group
      const ratio = (modelled.lastPod / measured.lastPod).toFixed(2)
      process.stdout.write(
        `${clients} clients, ${replicas} replicas ${owners ? 'with' : 'without'} owners: last pod ${modelled.lastPod.toFixed(2)} s in the model, ` +
          `${measured.lastPod.toFixed(2)} s measured, ratio ${ratio}; ` +
          `transfers from the upstream ${modelled.transfers} and ${measured.transfers}\n`,
      )
    }
  } finally {
    rmSync(directory, { recursive: true, force: true })
  }
}

function model(group: Group): Run {
  const image = layers.map((size, id) => ({ id, size: size * 1e6 }))
  const { lastPod, upstreamTransfers } = simulate({
    ...readCosts(),
    images: [image],
    nodes: clients,
    spread: 0,
    ...group,
    warm: false,
    parallel,
    nodeRate: Number.POSITIVE_INFINITY,
    replicaRate: Number.POSITIVE_INFINITY,
    cores: 1,
    upstreamRate,
    connectionRate: upstreamRate,
    delay: 0.001,
    upstreamDelay: upstreamDelay / 1000,
    unpackRate,
    seed,
  })
  return { lastPod, transfers: upstreamTransfers }
}

async function measure(bench: Bench, content: Content, { replicas, owners }: Group): Promise<Run> {
  const group = await createReplicaGroup(replicas)
  const line = { content, rate: upstreamRate, delay: upstreamDelay }
  const upstream = await startUpstream(bench, line)
  const url = `http://127.0.0.1:${upstream.port}`
  const peers = await Promise.all(
    Array.from({ length: replicas }, (_, at) =>
      startBerth(bench, {
        upstream: url,
        main: 'src/main.ts',
        storage: join(bench.directory, `${replicas}-${owners}-${at}`),
        ...(owners && { replicas: group.config(at) }),
      }),
    ),
  )
  const agent = new Agent({ keepAlive: true })
  try {
    const random = createRandom(seed)
    const choose = () => peers[Math.floor(random() * peers.length)]?.port ?? 0
    const startedAt = performance.now()
    await Promise.all(Array.from({ length: clients }, () => pullAsNode({ agent, content, choose })))
    const lastPod = (performance.now() - startedAt) / 1000
    const counts = await (await fetch(`${url}/counts`)).json()
    return { lastPod, transfers: (counts as { blobs: number }).blobs }
  } finally {
    agent.destroy()
    for (const peer of [...peers, upstream]) await peer.stop()
    await group.remove()
  }
}

type Node = {
  readonly agent: Agent
  readonly content: Content
  /** The port of any replica. */
  readonly choose: () => number
}

/** As in the model: the manifest, then layers, some at once; unpacking takes its time, layer after layer. */
async function pullAsNode({ agent, content, choose }: Node): Promise<void> {
  const fetchFrom = (path: string) =>
    download(agent, `http://127.0.0.1:${choose()}/v2/${content.name}/${path}`)
  await fetchFrom('manifests/latest')
  const downloads = layers.map(() => Promise.withResolvers<void>())
  const waiting = [...layers.entries()]
  const work = async (): Promise<void> => {
    for (let next = waiting.shift(); next !== undefined; next = waiting.shift()) {
      const [at, size] = next
      await fetchFrom(`blobs/${content.blobs[`${size}MB`]}`)
      downloads[at]?.resolve()
    }
  }
  const working = Promise.all(Array.from({ length: parallel }, work))
  for (const [at, size] of layers.entries()) {
    await Promise.race([downloads[at]?.promise, working])
    await sleep(((size * 1e6) / unpackRate) * 1000)
  }
  await working
}

/** Reads a body to its end. */
function download(agent: Agent, url: string): Promise<void> {
  return new Promise((resolve, reject) => {
    get(url, { agent }, (response) => {
      if (response.statusCode !== 200) return reject(new Error(`${url}: ${response.statusCode}`))
      response.resume().once('end', resolve).once('error', reject)
    }).once('error', reject)
  })
}
