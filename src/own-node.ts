import { spawn } from 'node:child_process'
import { existsSync } from 'node:fs'
import { fileURLToPath } from 'node:url'

// `npm link` puts our programs beside the system's Node, which may be an old one. This file and main.ts
// must be understood by it: no syntax, import or function here that is younger than Node 16.

const required = [24, 12]

/** Whether a version of Node, as `24.12.0`, can run Berth. */
export function isNewEnough(version: string): boolean {
  const [major = 0, minor = 0] = version.split('.').map(Number)
  const [requiredMajor = 0, requiredMinor = 0] = required
  return major > requiredMajor || (major === requiredMajor && minor >= requiredMinor)
}

/**
 * Runs Berth by the Node that the project brings along, the package `node`, and ends as it ends; where
 * there is none, says which Node is needed.
 */
export function runByOwnNode(): void {
  const node = fileURLToPath(new URL('../node_modules/node/bin/node', import.meta.url))
  if (!existsSync(node)) {
    process.stderr.write(
      `berth: Node ${required.join('.')} or newer is needed, and ${process.execPath} is ${process.versions.node}; install a newer one\n`,
    )
    process.exitCode = 1
    return
  }
  const child = spawn(node, process.argv.slice(1), { stdio: 'inherit' })
  const signals = ['SIGINT', 'SIGTERM', 'SIGHUP'] as const
  // A terminal's Ctrl-C comes to the child as well; Berth takes two at once for one.
  for (const signal of signals) process.on(signal, () => child.kill(signal))
  child.on('error', (error) => {
    process.stderr.write(`berth: ${node} cannot be started: ${error.message}\n`)
    process.exit(1)
  })
  child.on('exit', (status, signal) => {
    for (const one of signals) process.removeAllListeners(one)
    if (signal === null) process.exit(status === null ? 1 : status)
    else process.kill(process.pid, signal)
  })
}
