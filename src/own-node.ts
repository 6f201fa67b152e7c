import { spawn } from 'node:child_process'
import { existsSync } from 'node:fs'
import { fileURLToPath } from 'node:url'

// After `npm link`, the system's Node runs our programs, and it may be old. It must be able to run this
// file and main.ts: only syntax, imports and functions of Node 16.

const required = [24, 12]

/** Whether a version of Node, such as `24.12.0`, can run Berth. */
export function isSupported(version: string): boolean {
  const [major = 0, minor = 0] = version.split('.').map(Number)
  const [requiredMajor = 0, requiredMinor = 0] = required
  return major > requiredMajor || (major === requiredMajor && minor >= requiredMinor)
}

/**
 * Runs Berth with the Node of the npm package `node`, and exits with its status. Without that package,
 * prints which version is required.
 */
export function runWithBundledNode(): void {
  const node = fileURLToPath(new URL('../node_modules/node/bin/node', import.meta.url))
  if (!existsSync(node)) {
    process.stderr.write(
      `berth: Node ${required.join('.')} or newer is required, but ${process.execPath} is ${process.versions.node}; install a newer Node\n`,
    )
    process.exitCode = 1
    return
  }
  const child = spawn(node, process.argv.slice(1), { stdio: 'inherit' })
  const signals = ['SIGINT', 'SIGTERM', 'SIGHUP'] as const
  // The child also receives a terminal's Ctrl-C itself; Berth treats two signals at once as one.
  for (const signal of signals) process.on(signal, () => child.kill(signal))
  child.on('error', (error) => {
    process.stderr.write(`berth: cannot start ${node}: ${error.message}\n`)
    process.exit(1)
  })
  child.on('exit', (status, signal) => {
    for (const each of signals) process.removeAllListeners(each)
    if (signal === null) process.exit(status === null ? 1 : status)
    else process.kill(process.pid, signal)
  })
}
