import { Command } from 'commander'
import { z } from 'zod'
import { formatSize } from '../../oci/amounts.ts'
import type { Context } from '../login/registry-options.ts'
import { cachedImagesCommand } from './cached-images-command.ts'

type Flags = { readonly dryRun?: boolean }

const answer = z.looseObject({
  digest: z.string(),
  evicted: z.boolean(),
  frees: z.number(),
  stays: z.number(),
  inUse: z.looseObject({ isInUse: z.boolean() }),
  blocked: z.string().optional(),
})

/** `berth evict`: removes images from the cache. */
export function evictCommand(context: Context): Command {
  const command = new Command('evict')
    .summary('remove images from the cache')
    .description(
      'Remove from the cache of a Berth what only these images have there. Layers that other images in the cache have stay, and so do pinned images. The next pull fetches the image again. It takes an access rule with the action delete.',
    )
    .option('--dry-run', 'only print what it would free')
    .addHelpText('after', examples)
  return cachedImagesCommand<Flags>(command, context, async ({ ask }, { dryRun }) => {
    const rest = dryRun === true ? '?dryRun' : ''
    const data = answer.parse(await ask({ method: 'POST', what: 'evict', rest }))
    const { blocked, frees, stays, inUse } = data
    if (blocked !== undefined) return { text: `not evicted: ${blocked}`, data, failed: true }
    const shared = stays === 0 ? '' : `; ${formatSize(stays)} stay, which other images have`
    const used = inUse.isInUse ? '; a workload uses it, and its nodes pull it again' : ''
    const verb = dryRun === true ? 'would free' : 'evicted, which frees'
    return { text: `${verb} ${formatSize(frees)}${shared}${used}`, data }
  })
}

const examples = `
Examples:
  berth evict --dry-run localhost:30026/docker.io/library/golang:1.24
  berth evict localhost:30026/docker.io/library/golang:1.24
  kubectl berth evict docker.io/library/golang:1.24`
