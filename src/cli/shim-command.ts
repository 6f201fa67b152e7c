import { Command } from 'commander'
import { shimScript } from './shim-script.ts'

/** `berth shim`: a plugin for kubectl that needs nothing but a shell. */
export function shimCommand(version: string): Command {
  return new Command('shim')
    .summary('print kubectl-berth as a shell script, for machines without Berth')
    .description(
      'Print kubectl-berth as a POSIX shell script. It runs list, delete, copy, inspect and others in the pod of the registry, by kubectl exec: it needs kubectl, and neither Node.js nor Berth. What needs data of the machine (push, pull, connect) is left to Berth itself.',
    )
    .addHelpText('after', examples)
    .action(() => void process.stdout.write(shimScript(version)))
}

const examples = `
Example:
  kubectl exec -n registry deploy/berth -- berth shim > kubectl-berth && chmod +x kubectl-berth
  PATH=$PWD:$PATH kubectl berth list`
