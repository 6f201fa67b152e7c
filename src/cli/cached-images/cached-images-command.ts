import type { Command } from 'commander'
import { isRegistryError } from '../../oci/errors.ts'
import { formatReference } from '../../oci/reference.ts'
import { addRegistryOptions, type RegistryOptions } from '../login/registry-login.ts'
import { type Context, parseTarget, withRegistry } from '../login/registry-options.ts'
import { withSpoolerRegistry } from '../login/spooler-login.ts'
import { linesFor, type Printing, print, untilInterrupted } from '../output/image-output.ts'
import { outputOption } from '../output/options.ts'
import { printable } from '../output/printable.ts'

/** An image in the cache of a Berth, which is asked through its API. */
export type CachedImage = {
  /** As it was named. */
  readonly image: string
  readonly ask: (request: {
    readonly method: 'GET' | 'POST' | 'DELETE'
    /** Before the reference, such as `pin`. */
    readonly what: string
    /** After the reference. */
    readonly rest?: string
  }) => Promise<unknown>
  readonly signal: AbortSignal
  /** Undefined: the command is to be quiet. */
  readonly note: ((line: string) => void) | undefined
}

/** `text`: one line for people, after the name of the image. `data`: the answer, for JSON. */
export type Outcome = { readonly text: string; readonly data: object; readonly failed?: boolean }

type Flags = RegistryOptions & Printing

/** Options and output of commands for images in the cache of a Berth. */
export function cachedImagesCommand<Own>(
  command: Command,
  context: Context,
  act: (image: CachedImage, flags: Flags & Own) => Promise<Outcome>,
): Command {
  command
    .argument(
      '<images...>',
      'HOST[:PORT]/NAME[:TAG][@DIGEST], such as localhost:30026/docker.io/library/busybox:1.37',
    )
    .addOption(outputOption)
  return addRegistryOptions(command).action((images: readonly string[], flags: Flags & Own) =>
    untilInterrupted(async (signal) => {
      const results: (Outcome & { readonly image: string })[] = []
      for (const image of images)
        results.push({ image, ...(await actOn(image, { context, flags, signal, act })) })
      print(flags, { results: results.map(({ image, data }) => ({ image, ...data })) }, () =>
        results.map(({ image, text }) => `${image}: ${printable(text)}`).join('\n'),
      )
      if (results.some(({ failed }) => failed === true)) process.exitCode = 1
    }),
  )
}

type Acting<Own> = {
  readonly context: Context
  readonly flags: Flags & Own
  readonly signal: AbortSignal
  readonly act: (image: CachedImage, flags: Flags & Own) => Promise<Outcome>
}

/** One failure does not keep the command from the other images. */
async function actOn<Own>(
  image: string,
  { context, flags, signal, act }: Acting<Own>,
): Promise<Outcome> {
  const { host, name, reference } = parseTarget(image)
  const options = withSpoolerRegistry(host, flags, context.environment)
  const note = linesFor(flags)
  const base = `/api/repositories/${name}/-/`
  return withRegistry({ ...context, host, options }, async (remote) => {
    const ask: CachedImage['ask'] = ({ method, what, rest = '' }) =>
      remote.askApi({
        method,
        path: `${base}${what}/${formatReference(reference)}${rest}`,
        repository: name,
        signal,
      })
    try {
      return await act({ image, ask, signal, note }, flags)
    } catch (error) {
      if (signal.aborted || !isRegistryError(error)) throw error
      return { text: error.message, data: { error: error.message }, failed: true }
    }
  })
}
