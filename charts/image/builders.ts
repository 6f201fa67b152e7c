import { ImageError, run, succeeds } from './run.ts'

/** A program that builds images and keeps them. */
export type Tool = 'docker' | 'podman' | 'buildah'

export const tools: readonly Tool[] = ['docker', 'podman', 'buildah']

type Build = {
  readonly tool: Tool
  readonly name: string
  /** The project's directory. */
  readonly context: string
  readonly labels: Readonly<Record<string, string>>
  /** In place of those that the Dockerfile names. */
  readonly buildArguments: Readonly<Record<string, string | undefined>>
  readonly platform: string | undefined
}

/** The first that works: docker needs a daemon as well. */
export async function findTool(): Promise<Tool> {
  for (const tool of tools) if (await succeeds([tool, 'info'])) return tool
  throw new ImageError(
    'neither docker (with a daemon), podman nor buildah works here: install one of them, or name it with --tool to see why it fails',
  )
}

export async function build(options: Build): Promise<void> {
  const { tool, name, context, labels, buildArguments, platform } = options
  const values = Object.entries(buildArguments).flatMap(([key, value]) =>
    value === undefined ? [] : ['--build-arg', `${key}=${value}`],
  )
  // A base of this machine's own is nowhere to be pulled from.
  const isLocal = Object.values(buildArguments).some((value) => value?.startsWith('localhost/'))
  await run([
    tool,
    'build',
    ...Object.entries(labels).flatMap(([key, value]) => ['--label', `${key}=${value}`]),
    ...values,
    ...(platform === undefined ? [] : ['--platform', platform]),
    ...(isLocal && tool !== 'docker' ? ['--pull=never'] : []),
    '--tag',
    name,
    context,
  ])
}

/** Writes it to a file that `docker load`, `podman load` and `ctr images import` take. */
export async function archive(tool: Tool, name: string, file: string): Promise<void> {
  switch (tool) {
    case 'docker':
      return void (await run(['docker', 'save', '--output', file, name]))
    case 'podman':
    case 'buildah':
      // Both keep images in the same place, and `podman save` wants a new file as well.
      return void (await run([tool, 'push', '--quiet', name, `docker-archive:${file}:${name}`]))
  }
}

/** `target`: a repository, or a repository with a tag. */
export async function push(tool: Tool, name: string, target: string): Promise<void> {
  if (tool !== 'docker') return void (await run([tool, 'push', name, `docker://${target}`]))
  await run(['docker', 'tag', name, target])
  await run(['docker', 'push', target])
}
