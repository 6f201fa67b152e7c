import { writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { type Program, startIsolated } from './programs.ts'

/** A docker daemon of a test's own, with everything of its below one directory. */
export async function startDockerd(
  directory: string,
  settings: Readonly<Record<string, unknown>> = {},
): Promise<{ readonly address: string; readonly kill: Program['kill'] }> {
  const address = `unix://${directory}/docker.sock`
  await writeFile(join(directory, 'daemon.json'), JSON.stringify(settings))
  const command = [
    'dockerd',
    ...['--config-file', join(directory, 'daemon.json')],
    ...['--data-root', join(directory, 'data')],
    ...['--exec-root', join(directory, 'exec')],
    ...['--pidfile', join(directory, 'docker.pid')],
    ...['--host', address],
    ...['--oom-score-adjust', '0'],
    '--iptables=false',
    '--ip6tables=false',
    '--bridge=none',
  ]
  const daemon = startIsolated(command, { directory })
  await daemon.wrote(/API listen on/)
  return { address, kill: daemon.kill }
}
