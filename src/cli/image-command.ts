import { Command } from 'commander'
import { openRegistryImage } from '../transfer/transfer.ts'
import { UsageError } from './errors.ts'
import { imageCopyCommand } from './image-copy-command.ts'
import { type Printing, print } from './image-output.ts'
import { imagePushCommand } from './image-push-command.ts'
import { outputOption } from './options.ts'
import { addPullOptions, pullAction } from './pull-command.ts'
import { addRegistryOptions, type RegistryOptions } from './registry-login.ts'
import { type Context, parseRepository, parseTarget, withRegistry } from './registry-options.ts'

/** `berth image …`: images between archives and registries. */
export function imageCommand(context: Context): Command {
  return new Command('image')
    .summary('push, pull, list, delete, copy and inspect images of a registry')
    .description(
      'Push, pull, list, delete, copy and inspect images of any OCI registry. Images are named HOST[:PORT]/NAME[:TAG][@DIGEST].',
    )
    .addCommand(imagePushCommand(context))
    .addCommand(addPullOptions(new Command('pull')).action(pullAction(context)))
    .addCommand(listCommand(context))
    .addCommand(deleteCommand(context))
    .addCommand(imageCopyCommand(context))
    .addCommand(inspectCommand(context))
}

function listCommand(context: Context): Command {
  const command = new Command('list')
    .summary('list the tags of a repository')
    .argument('<repository>', 'HOST[:PORT]/NAME')
    .option('--digests', 'also print the digest of each tag; one request for each')
    .addOption(outputOption)
  return addRegistryOptions(command).action(
    async (
      repository: string,
      flags: RegistryOptions & Printing & { readonly digests?: boolean },
    ) => {
      const { host, name } = parseRepository(repository)
      await withRegistry({ ...context, host, options: flags }, async (remote) => {
        const tags = []
        for (let last: string | undefined, isFirst = true; isFirst || last !== undefined; ) {
          const page = await remote.tags(name, last === undefined ? {} : { last })
          if (page === undefined) throw new UsageError(`${host} has no repository ${name}`)
          for (const tag of page.tags) {
            const found = flags.digests === true ? await remote.resolve(name, tag) : undefined
            if (typeof found === 'object') found.release()
            const digest = typeof found === 'object' ? found.digest : found
            tags.push({ tag, ...(digest !== undefined && { digest }) })
          }
          last = page.next
          isFirst = false
        }
        print(flags, { repository: `${host}/${name}`, tags }, (listed) =>
          listed.tags.map(({ tag, digest = '' }) => `${tag}\t${digest}`.trimEnd()).join('\n'),
        )
      })
    },
  )
}

function deleteCommand(context: Context): Command {
  const command = new Command('delete')
    .summary('remove a tag, or a manifest by its digest')
    .description(
      'Remove a tag: the image stays, under its digest and its other tags. With a digest, remove the manifest and all tags that point to it.',
    )
    .argument('<image>', 'HOST[:PORT]/NAME:TAG, or HOST[:PORT]/NAME@DIGEST')
    .addOption(outputOption)
  return addRegistryOptions(command).action(
    async (image: string, flags: RegistryOptions & Printing) => {
      const { host, name, reference } = parseTarget(image)
      await withRegistry({ ...context, host, options: flags }, async (remote) => {
        const deleted = await remote.writer.deleteManifest(name, reference)
        print(flags, { image, deleted }, () => `${image}: ${deleted ? 'deleted' : 'was not there'}`)
      })
    },
  )
}

function inspectCommand(context: Context): Command {
  const command = new Command('inspect')
    .summary('print the manifest of an image, and its digest')
    .argument('<image>', 'HOST[:PORT]/NAME[:TAG][@DIGEST]')
    .addOption(outputOption)
  return addRegistryOptions(command).action(
    async (image: string, flags: RegistryOptions & Printing) => {
      const target = parseTarget(image)
      await withRegistry({ ...context, host: target.host, options: flags }, async (remote) => {
        const source = await openRegistryImage({ remote, ...target })
        for (const { digest } of source.images) {
          const { mediaType, bytes } = await source.manifest(digest)
          const manifest: unknown = JSON.parse(bytes.toString('utf8'))
          print(
            flags,
            { image, digest, mediaType, manifest },
            () =>
              `digest: ${digest}\ntype: ${mediaType}\n${JSON.stringify(manifest, undefined, 2)}`,
          )
        }
      })
    },
  )
}
