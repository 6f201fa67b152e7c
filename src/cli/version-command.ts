import { Command } from 'commander'

/** `berth version`, as plugins of kubectl have it; the same as `berth --version`. */
export function versionCommand(version: string): Command {
  return new Command('version')
    .description('print the version of this program')
    .action(() => void process.stdout.write(`${version}\n`))
}
