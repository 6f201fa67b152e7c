import { Command } from 'commander'
import { outputOption } from '../output/options.ts'
import {
  askRegistry,
  type ControlContext,
  parseTagName,
  withControlOptions,
} from './control-command.ts'

export function retentionCommand(context: ControlContext): Command {
  return new Command('retention')
    .summary('rules that delete and keep images')
    .description('Explain and apply the rules of hosted repositories (retention.rules).')
    .addCommand(explainCommand(context))
    .addCommand(runCommand(context))
}

function explainCommand(context: ControlContext): Command {
  const command = new Command('explain')
    .description('Print which rule decides about a tag, and when.')
    .argument('<image>', 'repository and tag, such as local/app:1.2')
    .addOption(outputOption)
  return withControlOptions(command)
    .addHelpText('after', '\nExample:\n  berth retention explain local/app:pr-12')
    .action((image: string, _options: object, self: Command) =>
      askRegistry(self, context, { action: 'explain', body: parseTagName(image) }),
    )
}

function runCommand(context: ControlContext): Command {
  const command = new Command('run')
    .description(
      'Apply the rules now. The registry does this by itself as well, each retention.interval.',
    )
    .option('--dry-run', 'only print what would be deleted')
    .option('--confirm <run>', 'allow a run that would delete more than a fifth of the images')
    .addOption(outputOption)
  return withControlOptions(command)
    .addHelpText('after', '\nExample:\n  berth retention run --dry-run')
    .action(({ dryRun, confirm }: { dryRun?: true; confirm?: string }, self: Command) =>
      askRegistry(self, context, { action: 'retain', body: { dryRun, confirm } }),
    )
}
