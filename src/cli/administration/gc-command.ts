import { Command, Option } from 'commander'
import { askRegistry, type ControlContext, withControlOptions } from './control-command.ts'

type Options = {
  readonly dryRun?: true
  readonly full?: true
  readonly runs?: true
  readonly confirm?: string
  readonly undo?: string
}

export function gcCommand(context: ControlContext): Command {
  const command = new Command('gc')
    .summary('remove blobs that no image references')
    .description(
      'Let the running registry remove the blobs of hosted repositories that no image references and whose grace period is over. It does this by itself as well, each collection.interval. Removed blobs stay in the trash for collection.trash.',
    )
    .option('--dry-run', 'only print what would be removed')
    .option('--full', 'also compare all files with what the index knows')
    .option('--confirm <run>', 'allow a run that would remove more than a fifth')
    .option('--undo <run>', 'restore what a run removed')
    .option('--runs', 'print the runs in the trash, newest first')
    // Each step is one line of JSON, for logs and programs: collections are mostly run by jobs.
    .addOption(
      new Option('-o, --output <format>', 'output format; json: one line for each step')
        .choices(['text', 'json'])
        .default('json'),
    )
  return withControlOptions(command)
    .addHelpText('after', examples)
    .action((options: Options, self: Command) => askRegistry(self, context, requestOf(options)))
}

function requestOf({ dryRun, full, confirm, undo, runs }: Options) {
  if (runs === true) return { action: 'runs', body: {}, nothing: 'the trash is empty' }
  if (undo !== undefined) return { action: 'undo', body: { run: undo } }
  return { action: 'collect', body: { dryRun, full, confirm } }
}

const examples = `
Examples:
  # what would be removed now
  berth gc --dry-run
  # remove it now, in a cluster
  kubectl exec -n berth deploy/berth -- berth gc
  # in words instead of JSON
  berth gc --dry-run -o text
  # list the runs in the trash, and restore what one of them removed
  berth gc --runs -o text
  berth gc --undo 20261129T013000Z-ab12cd34`
