import { parseArgs } from 'node:util'
import { check } from './check.ts'
import { readCosts } from './costs.ts'
import { makeImages, sizeOf } from './images.ts'
import { type Outcome, type Scenario, simulate } from './model.ts'

const help = `npm run simulate [-- options]

A model of nodes that all start the same images through replicas of Berth: how long it takes, what the upstream sends,
and how busy a replica is; with and without owners of blobs, by which the cluster asks the upstream once. The same
seed gives the same result. What a byte costs is read from test/bench/results.

  --nodes <n>                 nodes that start all images (default 5000)
  --images <n>                images, one after another on each node (default 10)
  --replicas <n,n,…>          numbers of replicas to compare (default 1,2,3,5,10,20)
  --spread <seconds>          time within which nodes begin (default 30)
  --replica-gbit <n>          network card of a replica, in Gbit/s (default 25)
  --node-gbit <n>             network card of a node (default 10)
  --upstream-gbit <n>         what the upstream sends to the cluster, as through a NAT (default 10)
  --connection-gbit <n>       what it sends over one connection (default 0.8)
  --cores <n>                 cores that a replica uses (default 1)
  --parallel <n>              layers that a node downloads at once; containerd's default is 3
  --unpack-mb <n>             compressed MB that a node unpacks in a second, one layer after another (default 60)
  --warm                      all replicas have all images before, as with inUse.warmUp
  --seed <n>                  sizes of layers, and choices of replicas (default 1)
  --json                      prints JSON instead of a table
  --check                     runs 50 clients, 3 replicas of Berth and an upstream of known speed on this machine,
                              and prints what the model says of them, divided by what was measured

Examples:
  npm run simulate
  npm run simulate -- --nodes 500 --replicas 2,3,4 --replica-gbit 10
  npm run simulate -- --upstream-gbit 1 --replicas 3,10
  npm run simulate -- --warm --json
  npm run simulate -- --check
`

const { values } = parseArgs({
  options: {
    nodes: { type: 'string', default: '5000' },
    images: { type: 'string', default: '10' },
    replicas: { type: 'string', default: '1,2,3,5,10,20' },
    spread: { type: 'string', default: '30' },
    'replica-gbit': { type: 'string', default: '25' },
    'node-gbit': { type: 'string', default: '10' },
    'upstream-gbit': { type: 'string', default: '10' },
    'connection-gbit': { type: 'string', default: '0.8' },
    cores: { type: 'string', default: '1' },
    parallel: { type: 'string', default: '3' },
    'unpack-mb': { type: 'string', default: '60' },
    warm: { type: 'boolean', default: false },
    seed: { type: 'string', default: '1' },
    json: { type: 'boolean', default: false },
    check: { type: 'boolean', default: false },
    help: { type: 'boolean', default: false },
  },
})

type NumberOption = Exclude<keyof typeof values, 'warm' | 'json' | 'check' | 'help' | 'replicas'>

function numberOf(name: NumberOption): number {
  const value = Number(values[name])
  if (!(value > 0) && !(value === 0 && name === 'spread'))
    throw new Error(`--${name}: expected a number above 0, not ${values[name]}`)
  return value
}

const bytesOf = (name: NumberOption): number => (numberOf(name) * 1e9) / 8

function scenarioOf(): Omit<Scenario, 'replicas' | 'owners'> {
  const seed = numberOf('seed')
  return {
    ...readCosts(),
    images: makeImages(numberOf('images'), seed),
    nodes: numberOf('nodes'),
    spread: numberOf('spread'),
    warm: values.warm,
    parallel: numberOf('parallel'),
    nodeRate: bytesOf('node-gbit'),
    replicaRate: bytesOf('replica-gbit'),
    cores: numberOf('cores'),
    upstreamRate: bytesOf('upstream-gbit'),
    connectionRate: bytesOf('connection-gbit'),
    delay: 0.002,
    upstreamDelay: 0.05,
    unpackRate: numberOf('unpack-mb') * 1e6,
    seed,
  }
}

function print(text: string): void {
  process.stdout.write(`${text}\n`)
}

function run(): void {
  const scenario = scenarioOf()
  const counts = values.replicas.split(',').map(Number)
  if (!counts.every((count) => Number.isInteger(count) && count > 0))
    throw new Error(`--replicas: expected numbers such as 1,3,10, not ${values.replicas}`)
  const results = counts.flatMap((replicas) =>
    [false, true].map((owners) => ({
      owners,
      ...simulate({ ...scenario, replicas, owners }),
    })),
  )
  if (values.json) return print(JSON.stringify(results, undefined, 2))
  const { nodes, images, sendCost, fillCost } = scenario
  const gigabytes = sizeOf(images) / 1e9
  print(
    `${nodes} nodes, ${images.length} images of ${gigabytes.toFixed(2)} GB together; CPU seconds per GB: ` +
      `${(sendCost * 1e9).toFixed(2)} to send, ${(fillCost * 1e9).toFixed(2)} to fetch\n`,
  )
  print(
    [
      '| replicas | owners | upstream GB | transfers | between replicas GB | middle pod s | last pod s | network, busiest | CPU, busiest |',
      '|---|---|---|---|---|---|---|---|---|',
      ...results.map(toRow),
    ].join('\n'),
  )
}

function toRow(result: Outcome & { readonly owners: boolean }): string {
  const busiest = (figure: (one: Outcome['replicas'][number]) => number) =>
    `${Math.round(100 * Math.max(...result.replicas.map(figure)))} %`
  const cells = [
    result.replicas.length,
    result.owners ? 'yes' : 'no',
    (result.upstreamBytes / 1e9).toFixed(1),
    result.upstreamTransfers,
    (result.peerBytes / 1e9).toFixed(1),
    result.medianPod.toFixed(0),
    result.lastPod.toFixed(0),
    busiest(({ network }) => network),
    busiest(({ cpu }) => cpu),
  ]
  return `| ${cells.join(' | ')} |`
}

try {
  if (values.help) print(help)
  else if (values.check) await check()
  else run()
} catch (error) {
  process.stderr.write(`${error instanceof Error ? error.message : error}\n`)
  process.exitCode = 1
}
