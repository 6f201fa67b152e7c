import { Command } from 'commander'
import { outputOption } from '../output/options.ts'
import {
  askRegistry,
  type ControlContext,
  parseTagName,
  withControlOptions,
} from './control-command.ts'

export function tagCommand(context: ControlContext): Command {
  const history = subcommand(context, 'history', 'history')
    .description('Print what a tag pointed to, newest first. * marks what it points to now.')
    .addHelpText('after', '\nExample:\n  berth tag history local/app:latest')
  const undo = subcommand(context, 'undo', 'undo-tag')
    .description(
      'Point a tag to what it pointed to before, or restore it if it was deleted. Content in the trash is restored as well.',
    )
    .addHelpText('after', '\nExample:\n  berth tag undo local/app:latest')
  return new Command('tag')
    .summary('what tags pointed to before')
    .description('Print the history of tags of hosted repositories, and undo their last change.')
    .addCommand(history)
    .addCommand(undo)
}

function subcommand(context: ControlContext, name: string, action: string): Command {
  const command = new Command(name)
    .argument('<image>', 'repository and tag, such as local/app:1.2')
    .addOption(outputOption)
  return withControlOptions(command).action((image: string, _options: object, self: Command) =>
    askRegistry(self, context, { action, body: parseTagName(image) }),
  )
}
