import { createHash } from 'node:crypto'
import { ProgramError, type Run } from './program.ts'
import { registryPort } from './registry-config.ts'
import type { LocalFiles } from './upstreams.ts'

/** Name of the container, under which nodes and pods of all local clusters reach it, and of its volume. */
export const containerName = 'berth-kind'

const settingsLabel = 'dev.berth.kind.settings'

type ContainerSettings = {
  readonly image: string
  /** On this machine's loopback address. */
  readonly port: number
  readonly network: string
  /** The configuration file on this machine, and its content. */
  readonly config: { readonly file: string; readonly text: string }
  readonly files: LocalFiles
  /** Variables that select a profile or a region of AWS; no secrets. */
  readonly environment: Readonly<Record<string, string>>
}

export interface RegistryContainer {
  /** Starts it with these settings. Another container that was started with others is replaced; the volume stays. */
  start(settings: ContainerSettings): Promise<'started' | 'replaced' | 'unchanged'>
  /** Removes it, and its volume with all images if `volume` is set. */
  remove(options: { readonly volume: boolean }): Promise<void>
  /** Its last lines of log. */
  logs(): Promise<string>
}

/** `engine` is `docker` or `podman`, whose commands are the same here. */
export function createRegistryContainer(engine: string, run: Run): RegistryContainer {
  const inspect = async () => {
    const format = `{{.State.Running}} {{index .Config.Labels "${settingsLabel}"}}`
    const listed = await run([
      engine,
      'ps',
      '--all',
      '--filter',
      `name=^${containerName}$`,
      '--quiet',
    ])
    if (listed.trim() === '') return undefined
    const text = await run([engine, 'container', 'inspect', '--format', format, containerName])
    const [running, settings = ''] = text.trim().split(' ')
    if (settings === '' || settings === '<no')
      throw new ProgramError(
        `a container ${containerName} exists that this command did not start: rename or remove it (${engine} rm ${containerName})`,
      )
    return { isRunning: running === 'true', settings }
  }

  return {
    start: async (settings) => {
      const id = await imageId(engine, settings.image, run)
      const args = containerArguments(settings)
      const label = createHash('sha256')
        .update(JSON.stringify([id, args, settings.config.text]))
        .digest('hex')
        .slice(0, 16)
      const existing = await inspect()
      if (existing?.settings === label) {
        if (!existing.isRunning) await run([engine, 'start', containerName])
        return existing.isRunning ? 'unchanged' : 'started'
      }
      if (existing !== undefined) await run([engine, 'rm', '--force', containerName])
      const command = [engine, 'run', '--detach', '--label', `${settingsLabel}=${label}`, ...args]
      await run(command)
      return existing === undefined ? 'started' : 'replaced'
    },

    remove: async ({ volume }) => {
      if ((await inspect()) !== undefined) await run([engine, 'rm', '--force', containerName])
      if (!volume) return
      const volumes = await run([engine, 'volume', 'ls', '--quiet'])
      if (volumes.split('\n').includes(containerName))
        await run([engine, 'volume', 'rm', containerName])
    },

    logs: () => run([engine, 'logs', '--tail', '20', containerName]),
  }
}

async function imageId(engine: string, image: string, run: Run): Promise<string> {
  const id = () => run([engine, 'image', 'inspect', '--format', '{{.Id}}', image])
  try {
    return await id()
  } catch {
    try {
      await run([engine, 'pull', '--quiet', image])
    } catch (cause) {
      const message = cause instanceof Error ? cause.message : String(cause)
      throw new ProgramError(
        `${engine} does not have the image ${image}, and cannot pull it: build it with \`npm run image\` in Berth's repository, or name another one with --image (${message})`,
        { cause },
      )
    }
    return id()
  }
}

/**
 * The user is root, without its rights but that to read files of other users: the developer's credential files are readable for
 * their owner only, and the volume belongs to the image's user. Nothing is relabelled for SELinux, because the files are the
 * developer's own.
 */
function containerArguments(settings: ContainerSettings): readonly string[] {
  const { image, port, network, config, files, environment } = settings
  const mounts = [
    [config.file, '/etc/berth/berth.yaml'],
    [files.google, '/root/.config/gcloud/application_default_credentials.json'],
    [files.aws, '/root/.aws'],
    [files.docker, '/root/.docker/config.json'],
  ]
  return [
    ...['--name', containerName, '--restart', 'unless-stopped', '--network', network],
    ...['--publish', `127.0.0.1:${port}:${registryPort}`],
    ...['--volume', `${containerName}:/var/lib/berth`],
    ...mounts.flatMap(([from, to]) => (from === undefined ? [] : ['--volume', `${from}:${to}:ro`])),
    ...['--user', '0:0', '--cap-drop', 'ALL', '--cap-add', 'DAC_OVERRIDE'],
    ...['--security-opt', 'no-new-privileges', '--security-opt', 'label=disable'],
    ...['--env', 'HOME=/root'],
    ...Object.entries(environment).flatMap(([name, value]) => ['--env', `${name}=${value}`]),
    ...[image, 'serve', '--config', '/etc/berth/berth.yaml'],
  ]
}
