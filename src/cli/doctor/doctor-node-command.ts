import { Command } from 'commander'
import { checkNode, type Finding, type NodeVerdict } from '../../doctor/doctor.ts'
import { createOutbound } from '../../outbound/outbound.ts'
import { createRooted, parseRegistryHost, readNodeAddresses } from '../../trust/trust.ts'
import { outputOption } from '../output/options.ts'
import { UsageError } from '../process/errors.ts'
import { formatFinding } from './findings.ts'

type Options = {
  readonly registry: string
  readonly nodeIp?: string
  readonly root: string
  readonly output: 'text' | 'json'
}

export function nodeCommand(): Command {
  return new Command('node')
    .summary('check whether the runtimes of a node can pull from Berth')
    .description(
      'Check whether the container runtimes of this node can pull from Berth, and say which exposure.mode to set.',
    )
    .option('--registry <host:port>', 'host of Berth in image references', 'localhost:30026')
    .option('--node-ip <address>', 'address of the node (default: those of its interfaces)')
    .option('--root <directory>', "where the node's file system is mounted", '/')
    .addOption(outputOption)
    .addHelpText('after', examples)
    .action(async ({ registry: name, nodeIp, root, output }: Options) => {
      const registry = parseRegistryHost(name)
      if (registry === undefined)
        throw new UsageError(`--registry ${name} is invalid: expected HOST or HOST:PORT`)
      const addresses = nodeIp === undefined ? readNodeAddresses() : [nodeIp]
      const checks = checkNode({
        rooted: createRooted(root),
        registry,
        addresses,
        outbound: createOutbound(),
      })
      const findings: Finding[] = []
      if (output === 'text') process.stdout.write(`\nimages named ${registry}/…\n`)
      const verdict = await forEachFinding(checks, (finding) => {
        findings.push(finding)
        if (output === 'text') process.stdout.write(formatFinding(finding))
      })
      process.stdout.write(
        output === 'json'
          ? `${JSON.stringify({ ...verdict, registry, findings })}\n`
          : summarize(verdict),
      )
      if (!verdict.ok) process.exitCode = 1
    })
}

async function forEachFinding(
  checks: ReturnType<typeof checkNode>,
  onFinding: (finding: Finding) => void,
): Promise<NodeVerdict> {
  for (;;) {
    const { done, value } = await checks.next()
    if (done) return value
    onFinding(value)
  }
}

function summarize({ ok, exposure }: NodeVerdict): string {
  if (ok) return '\nPods on this node can pull.\n'
  const advice = exposure === undefined ? '' : ` Set exposure.mode: ${exposure}.`
  return `\nPods on this node cannot pull.${advice}\n`
}

const examples = `
Run it on the node, or in a pod with hostNetwork and the node's root file system mounted at --root. The
exit status is 0 if pods on this node can pull.

Examples:
  # check this node
  berth doctor node
  # check from a pod that has the node's file system at /host
  berth doctor node --root /host --node-ip 10.0.0.7
  # check another registry name, with output for programs
  berth doctor node --registry registry.example:5000 -o json`
