import { Command } from 'commander'
import type { Context } from '../login/registry-options.ts'
import { imageCopyCommand } from '../transfers/image-copy-command.ts'
import { imagePushCommand } from '../transfers/image-push-command.ts'
import { imageRescueCommand } from '../transfers/image-rescue-command.ts'
import { pullCommand } from '../transfers/pull-command.ts'
import { imageDeleteCommand } from './image-delete-command.ts'
import { imageInspectCommand } from './image-inspect-command.ts'
import { imageListCommand } from './image-list-command.ts'

/** `berth image …`: images between archives and registries. */
export function imageCommand(context: Context): Command {
  return new Command('image')
    .summary('push, pull, list, delete, copy, inspect and rescue images of a registry')
    .description(
      'Push, pull, list, delete, copy, inspect and rescue images of any OCI registry. Images are named HOST[:PORT]/NAME[:TAG][@DIGEST].',
    )
    .addCommand(imagePushCommand(context))
    .addCommand(pullCommand(context))
    .addCommand(imageListCommand(context))
    .addCommand(imageDeleteCommand(context))
    .addCommand(imageCopyCommand(context))
    .addCommand(imageInspectCommand(context))
    .addCommand(imageRescueCommand(context))
}
