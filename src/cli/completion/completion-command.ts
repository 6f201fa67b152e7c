import { Argument, Command } from 'commander'
import { completionScripts, type Shell } from './completion-scripts.ts'

/** `berth completion SHELL` */
export function completionCommand(): Command {
  return new Command('completion')
    .summary('print a script that completes commands and options in a shell')
    .description(
      'Print a script that completes commands, options and their choices in bash, zsh, fish or PowerShell. kubectl completes kubectl berth by itself, if kubectl_complete-berth is in PATH.',
    )
    .addArgument(new Argument('<shell>', 'which shell').choices(Object.keys(completionScripts)))
    .addHelpText('after', examples)
    .action((shell: Shell) => void process.stdout.write(completionScripts[shell]))
}

const examples = `
Examples:
  source <(berth completion bash)        # in ~/.bashrc
  source <(berth completion zsh)         # in ~/.zshrc, after compinit
  berth completion fish > ~/.config/fish/completions/berth.fish
  berth completion powershell | Out-String | Invoke-Expression`
