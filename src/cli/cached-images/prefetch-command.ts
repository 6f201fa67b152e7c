import { setTimeout as sleep } from 'node:timers/promises'
import { Command } from 'commander'
import { z } from 'zod'
import { formatSize } from '../../oci/amounts.ts'
import type { Context } from '../login/registry-options.ts'
import { collect } from '../output/options.ts'
import { type CachedImage, cachedImagesCommand, type Outcome } from './cached-images-command.ts'

type Flags = {
  readonly platform?: readonly string[]
  readonly wait: boolean
  readonly cancel?: boolean
}

const amount = z.object({ blobs: z.number(), bytes: z.number() })
const answer = z.looseObject({
  digest: z.string(),
  state: z.enum(['running', 'done', 'failed', 'canceled']),
  total: amount,
  stored: amount,
  problem: z.string().optional(),
})
type Prefetch = z.infer<typeof answer>

/** Milliseconds between two questions, and between two lines. */
const interval = 500
const lineInterval = 5000

/** `berth prefetch`: downloads images into the cache. */
export function prefetchCommand(context: Context): Command {
  const command = new Command('prefetch')
    .summary('download images into the cache')
    .description(
      'Let a Berth download images into its cache, with all platforms unless --platform names some, so that later pulls need no upstream. The download continues in the registry if the command is interrupted; --cancel ends it. It takes an access rule with the action delete. Of several replicas, one does it.',
    )
    .option('--platform <os/arch>', 'platform of an index; may be repeated', collect)
    .option('--no-wait', 'only start it')
    .option('--cancel', 'cancel a prefetch that runs; what is in the cache stays')
    .addHelpText('after', examples)
  return cachedImagesCommand<Flags>(command, context, async (image, { platform, wait, cancel }) => {
    if (cancel === true)
      return describe(answer.parse(await image.ask({ method: 'DELETE', what: 'prefetch' })))
    const rest = platform === undefined ? '' : `?platform=${platform.join(',')}`
    const started = answer.parse(await image.ask({ method: 'POST', what: 'prefetch', rest }))
    return describe(wait ? await untilEnded(image, started) : started)
  })
}

async function untilEnded(image: CachedImage, started: Prefetch): Promise<Prefetch> {
  let lastLine = performance.now()
  for (let found = started; ; ) {
    if (found.state !== 'running') return found
    if (performance.now() - lastLine > lineInterval) {
      lastLine = performance.now()
      image.note?.(`${image.image}: ${amounts(found)}`)
    }
    await sleep(interval, undefined, { signal: image.signal })
    found = answer.parse(await image.ask({ method: 'GET', what: 'prefetch' }))
  }
}

function amounts({ stored, total }: Prefetch): string {
  return `${stored.blobs} of ${total.blobs} blobs, ${formatSize(stored.bytes)} of ${formatSize(total.bytes)}`
}

function describe(data: Prefetch): Outcome {
  const { state, digest, problem } = data
  switch (state) {
    case 'running':
      return { text: `${digest} is being fetched: ${amounts(data)}`, data }
    case 'done':
      return { text: `${digest} is in the cache: ${amounts(data)}`, data }
    case 'canceled':
      return { text: `canceled: ${amounts(data)} are in the cache`, data }
    case 'failed':
      return { text: `not in the cache: ${problem} (${amounts(data)})`, data, failed: true }
  }
}

const examples = `
Examples:
  berth prefetch localhost:30026/docker.io/library/busybox:1.37
  # of each image the platforms of the cluster's nodes, through the API server
  kubectl berth prefetch --platform linux/amd64 docker.io/library/nginx:1.29 quay.io/prometheus/prometheus:v3.7.3
  # in the background, and the end of it
  berth prefetch --no-wait localhost:30026/docker.io/library/golang:1.25
  berth prefetch --cancel localhost:30026/docker.io/library/golang:1.25`
