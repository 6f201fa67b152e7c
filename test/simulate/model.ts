import { createEventQueue } from './event-queue.ts'
import type { Image, Layer } from './images.ts'
import { createLink } from './link.ts'
import { createRandom } from './random.ts'

/** Rates in bytes per second, times in seconds. */
export type Scenario = {
  readonly images: readonly Image[]
  readonly nodes: number
  /** Nodes begin at random within this time. */
  readonly spread: number
  readonly replicas: number
  /** Whether each replica gets a blob from the one that owns it, and only the owner asks the upstream. */
  readonly owners: boolean
  /** Whether all replicas have all blobs at the start. */
  readonly warm: boolean
  /** Layers of an image that a node downloads at once. */
  readonly parallel: number
  readonly nodeRate: number
  readonly replicaRate: number
  readonly cores: number
  /** CPU seconds per byte that is sent, and that is received, verified and stored. */
  readonly sendCost: number
  readonly fillCost: number
  readonly upstreamRate: number
  /** Of one connection. */
  readonly connectionRate: number
  /** Until the first byte, from a replica and from the upstream. */
  readonly delay: number
  readonly upstreamDelay: number
  /** Of compressed bytes; one layer of an image after another. */
  readonly unpackRate: number
  readonly seed: number
}

export type Outcome = {
  readonly upstreamBytes: number
  readonly upstreamTransfers: number
  /** Between replicas. */
  readonly peerBytes: number
  /** By all nodes. */
  readonly receivedBytes: number
  /** When the node in the middle, and the last one, has unpacked all images. */
  readonly medianPod: number
  readonly lastPod: number
  readonly replicas: readonly {
    readonly sent: number
    /** Parts of what the network card could send, and of the cores, until the last pod. */
    readonly network: number
    readonly cpu: number
  }[]
}

type Fill = { isDone: boolean; readonly waiting: (() => void)[] }

/**
 * 1. A node pulls one image after another, as kubelets do by default: two requests for its manifest and
 *    configuration, then its layers, some at a time. Each request goes to a random replica.
 * 2. A replica that does not have a layer fetches it once, from its owner or from the upstream. Its clients are sent
 *    the layer meanwhile, and have all of it when it is complete.
 * 3. Layers are unpacked in order, one after another, while others are downloaded.
 *
 * What a replica sends shares the smaller of its network card and its CPU evenly; so does what it fetches, and what the
 * upstream sends.
 */
export function simulate(scenario: Scenario): Outcome {
  const { images, owners, warm, seed, cores, sendCost, fillCost, delay, upstreamDelay } = scenario
  const queue = createEventQueue()
  const random = createRandom(seed)
  const upstream = createLink({
    queue,
    rate: scenario.upstreamRate,
    maxShare: scenario.connectionRate,
  })
  const replicas = Array.from({ length: scenario.replicas }, () => ({
    fills: new Map<number, Fill>(),
    link: createLink({
      queue,
      rate: Math.min(scenario.replicaRate, cores / sendCost),
      maxShare: scenario.nodeRate / scenario.parallel,
    }),
    intake: createLink({
      queue,
      rate: Math.min(scenario.replicaRate, cores / fillCost),
      maxShare: Number.POSITIVE_INFINITY,
    }),
  }))
  type Replica = (typeof replicas)[number]
  let upstreamTransfers = 0
  let peerBytes = 0
  let receivedBytes = 0
  const ended: number[] = []

  const ownerOf = ({ id }: Layer): Replica | undefined => replicas[rendezvous(id, replicas.length)]

  /** What is left of a fill when it began: nothing, if the blob is there. */
  const fillOf = (replica: Replica, layer: Layer): Fill => {
    const known = replica.fills.get(layer.id)
    if (known !== undefined) return known
    const fill: Fill = { isDone: warm, waiting: [] }
    replica.fills.set(layer.id, fill)
    if (warm) return fill
    let pending = 2
    /** It has come from its source, and the replica has had the time to receive it. */
    const end = () => {
      pending -= 1
      if (pending > 0) return
      fill.isDone = true
      for (const step of fill.waiting.splice(0)) step()
    }
    replica.intake.transfer(layer.size, end)
    const owner = owners ? ownerOf(layer) : undefined
    if (owner !== undefined && owner !== replica) {
      peerBytes += layer.size
      queue.at(queue.now() + delay, () => send(owner, layer, end))
    } else {
      upstreamTransfers += 1
      queue.at(queue.now() + upstreamDelay, () => upstream.transfer(layer.size, end))
    }
    return fill
  }

  const send = (replica: Replica, layer: Layer, done: () => void): void => {
    const fill = fillOf(replica, layer)
    replica.link.transfer(layer.size, () => (fill.isDone ? done() : fill.waiting.push(done)))
  }

  const startNode = (): void => {
    const has = new Set<number>()
    const pull = (at: number): void => {
      const image = images[at]
      if (image === undefined) return void ended.push(queue.now())
      const missing = image.filter(({ id }) => !has.has(id))
      const downloaded = new Set<Layer>()
      let [begun, unpacked, unpackedAt] = [0, 0, queue.now()]

      const next = (): void => {
        const layer = missing[begun]
        if (layer === undefined) return
        begun += 1
        const replica = replicas[Math.floor(random() * replicas.length)]
        if (replica === undefined) return
        queue.at(queue.now() + delay, () => send(replica, layer, () => receive(layer)))
      }
      const receive = (layer: Layer): void => {
        receivedBytes += layer.size
        has.add(layer.id)
        downloaded.add(layer)
        next()
        for (let first = missing[unpacked]; first && downloaded.has(first); ) {
          unpackedAt = Math.max(unpackedAt, queue.now()) + first.size / scenario.unpackRate
          unpacked += 1
          first = missing[unpacked]
        }
        if (unpacked === missing.length) queue.at(unpackedAt, () => pull(at + 1))
      }
      if (missing.length === 0) return pull(at + 1)
      queue.at(queue.now() + 2 * delay, () => {
        for (let count = 0; count < scenario.parallel; count += 1) next()
      })
    }
    queue.at(random() * scenario.spread, () => pull(0))
  }

  for (let count = 0; count < scenario.nodes; count += 1) startNode()
  queue.run()
  const lastPod = ended.at(-1) ?? 0
  return {
    upstreamBytes: upstream.sent(),
    upstreamTransfers,
    peerBytes,
    receivedBytes,
    medianPod: ended[Math.floor(ended.length / 2)] ?? 0,
    lastPod,
    replicas: replicas.map(({ link, intake }) => ({
      sent: link.sent(),
      network: link.sent() / scenario.replicaRate / lastPod,
      cpu: (link.sent() * sendCost + intake.sent() * fillCost) / cores / lastPod,
    })),
  }
}

/** The replica with the highest score for the blob: when one more is added, it only takes blobs from the others. */
function rendezvous(id: number, replicas: number): number {
  const score = (at: number) => createRandom(id * 7919 + at * 104_729)()
  let best = 0
  for (let at = 1; at < replicas; at += 1) if (score(at) > score(best)) best = at
  return best
}
