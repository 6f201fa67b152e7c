import { Command } from 'commander'
import { z } from 'zod'
import type { Context } from '../login/registry-options.ts'
import { cachedImagesCommand } from './cached-images-command.ts'

const answer = z.looseObject({
  digest: z.string(),
  before: z.string().optional(),
  changed: z.boolean(),
})

/** `berth refresh`: compares tags with their upstreams now. */
export function refreshCommand(context: Context): Command {
  const command = new Command('refresh')
    .summary('compare cached tags with their upstreams now')
    .description(
      'Compare tags in the cache of a Berth with their upstreams now, instead of when their time (tags.ttl) is over. No layer is fetched. It takes the right to pull.',
    )
    .addHelpText('after', examples)
  return cachedImagesCommand(command, context, async ({ ask }) => {
    const data = answer.parse(await ask({ method: 'POST', what: 'tags', rest: '/refresh' }))
    const { changed, digest, before } = data
    const text = changed
      ? before === undefined
        ? `is ${digest}, and was not in the cache`
        : `changed from ${before} to ${digest}`
      : `has not changed: ${digest}`
    return { text, data }
  })
}

const examples = `
Examples:
  berth refresh localhost:30026/docker.io/library/busybox:latest
  kubectl berth refresh docker.io/library/busybox:latest
  berth refresh -o json registry.example.com/my-project/my-repo/app:main`
