import { Command, Option } from 'commander'
import { examineNode, type Finding, type NodeVerdict } from '../doctor/doctor.ts'
import { createRooted, parseRegistryHost, readNodeAddresses } from '../trust/trust.ts'
import { UsageError } from './errors.ts'
import { lines } from './findings.ts'

type Options = {
  readonly registry: string
  readonly nodeIp?: string
  readonly root: string
  readonly output: 'text' | 'json'
}

export function nodeCommand(): Command {
  return new Command('node')
    .description('Find out whether and how this node reaches the registry, and what to set')
    .option('--registry <host:port>', 'as images name it', 'localhost:30026')
    .option('--node-ip <address>', "the node's own; default: those of its interfaces")
    .option('--root <directory>', "where the node's file system is", '/')
    .addOption(
      new Option('-o, --output <format>', 'for people or for programs')
        .choices(['text', 'json'])
        .default('text'),
    )
    .addHelpText('after', examples)
    .action(async ({ registry: asked, nodeIp, root, output }: Options) => {
      const registry = parseRegistryHost(asked)
      if (registry === undefined)
        throw new UsageError(`--registry ${asked}: a host, with a port or without`)
      const addresses = nodeIp === undefined ? readNodeAddresses() : [nodeIp]
      const examination = examineNode({ rooted: createRooted(root), registry, addresses })
      const findings: Finding[] = []
      if (output === 'text') process.stdout.write(`\nimages named ${registry}/…\n`)
      const verdict = await listen(examination, (finding) => {
        findings.push(finding)
        if (output === 'text') process.stdout.write(lines(finding))
      })
      process.stdout.write(
        output === 'json'
          ? `${JSON.stringify({ ...verdict, registry, findings })}\n`
          : sentence(verdict),
      )
      if (!verdict.ok) process.exitCode = 1
    })
}

async function listen(
  examination: ReturnType<typeof examineNode>,
  on: (finding: Finding) => void,
): Promise<NodeVerdict> {
  for (;;) {
    const { done, value } = await examination.next()
    if (done) return value
    on(value)
  }
}

function sentence({ ok, exposure }: NodeVerdict): string {
  if (ok) return '\nPods on this node can pull.\n'
  const set = exposure === undefined ? '' : ` Set exposure.mode: ${exposure}.`
  return `\nPods on this node cannot pull.${set}\n`
}

const examples = `
Run it on the node, or in a pod with hostNetwork and the node's root mounted at --root. The exit status
is 0 when pods on this node can pull images of that name.

Examples:
  berth doctor node
  berth doctor node --root /host --node-ip 10.0.0.7
  berth doctor node --registry registry.example:5000 -o json`
