import { ImageError, run, succeeds } from './run.ts'

/** A program that builds and stores images. */
export type Tool = 'docker' | 'podman' | 'buildah'

export const tools: readonly Tool[] = ['docker', 'podman', 'buildah']

type Build = {
  readonly tool: Tool
  readonly name: string
  /** The project's directory. */
  readonly context: string
  readonly labels: Readonly<Record<string, string>>
  /** Override the Dockerfile's defaults. */
  readonly buildArguments: Readonly<Record<string, string | undefined>>
  readonly platform: string | undefined
}

/** The first tool that works; docker also needs a daemon. */
export async function findTool(): Promise<Tool> {
  for (const tool of tools) if (await succeeds([tool, 'info'])) return tool
  throw new ImageError(
    'found no working docker (with a daemon), podman or buildah: install one of them, or select one with --tool to see its error',
  )
}

export async function build(options: Build): Promise<void> {
  const { tool, name, context, labels, buildArguments, platform } = options
  const values = Object.entries(buildArguments).flatMap(([key, value]) =>
    value === undefined ? [] : ['--build-arg', `${key}=${value}`],
  )
  // A local base image cannot be pulled.
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

/** Writes the image to a file for `docker load`, `podman load` and `ctr images import`. */
export async function archive(tool: Tool, name: string, file: string): Promise<void> {
  switch (tool) {
    case 'docker':
      return void (await run(['docker', 'save', '--output', file, name]))
    case 'podman':
    case 'buildah':
      // Both use the same image store; `podman save` would also need a new file.
      return void (await run([tool, 'push', '--quiet', name, `docker-archive:${file}:${name}`]))
  }
}

/** `target`: a repository, or a repository with a tag. */
export async function push(tool: Tool, name: string, target: string): Promise<void> {
  if (tool !== 'docker') return void (await run([tool, 'push', name, `docker://${target}`]))
  await run(['docker', 'tag', name, target])
  await run(['docker', 'push', target])
}
