import { Command } from 'commander'
import { z } from 'zod'
import { formatSize } from '../../oci/amounts.ts'
import type { Context } from '../login/registry-options.ts'
import { cachedImagesCommand } from './cached-images-command.ts'

const pinned = z.looseObject({ digest: z.string(), size: z.number(), stored: z.number() })
const unpinned = z.looseObject({ digest: z.string().optional(), changed: z.boolean() })

/** `berth pin`: never evicts images. */
export function pinCommand(context: Context): Command {
  const command = new Command('pin')
    .summary('never evict images from the cache')
    .description(
      'Keep images in the cache of a Berth, whatever else needs room: by the digest that a tag has now, with the platforms that are in the cache. At most half of the cache can be pinned. A tag that moves to another digest has to be pinned again. It takes an access rule with the action delete.',
    )
    .addHelpText('after', pinExamples)
  return cachedImagesCommand(command, context, async ({ ask }) => {
    const data = pinned.parse(await ask({ method: 'POST', what: 'pin' }))
    const { digest, size, stored } = data
    const missing = size - stored
    const rest =
      missing <= 0
        ? ''
        : `; ${formatSize(missing)} of it are not in the cache: prefetch them with berth prefetch`
    return { text: `${digest} is pinned with ${formatSize(size)}${rest}`, data }
  })
}

/** `berth unpin`: lets images be evicted again. */
export function unpinCommand(context: Context): Command {
  const command = new Command('unpin')
    .summary('evict pinned images again when the cache needs room')
    .description(
      'Let images that were pinned be evicted again, as others are: by the digest, or by a tag that points to it now. It takes an access rule with the action delete.',
    )
    .addHelpText('after', unpinExamples)
  return cachedImagesCommand(command, context, async ({ ask }) => {
    const data = unpinned.parse(await ask({ method: 'DELETE', what: 'pin' }))
    return { text: data.changed ? `${data.digest} is no longer pinned` : 'was not pinned', data }
  })
}

const pinExamples = `
Examples:
  berth prefetch localhost:30026/docker.io/library/busybox:1.37 && berth pin localhost:30026/docker.io/library/busybox:1.37
  kubectl berth pin docker.io/library/busybox:1.37
  # what is pinned
  curl http://localhost:30026/api/pins`

const unpinExamples = `
Examples:
  berth unpin localhost:30026/docker.io/library/busybox:1.37
  kubectl berth unpin docker.io/library/busybox@sha256:…`
