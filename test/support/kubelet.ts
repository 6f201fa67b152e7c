import { mkdir, mkdtemp, rm, symlink, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { dirname, join } from 'node:path'
import { stringify } from 'yaml'
import { main } from './command.ts'
import { removeDirectory } from './directory.ts'
import { attempt, type Finished, run, tool } from './programs.ts'

/** Of CredentialProviderResponse, as Kubernetes' own types have it. */
export type ProviderResponse = {
  readonly cacheKeyType: string
  readonly cacheDuration?: string
  readonly auth?: Readonly<Record<string, { readonly username: string; readonly password: string }>>
}

type Asking = {
  /** Name of an image, without tag. */
  readonly image: string
  /** A service account's, which a kubelet shows only if its configuration says so. */
  readonly token?: string
  readonly annotations?: Readonly<Record<string, string>>
}

/** A node on which Berth is a credential provider, and what of a kubelet asks it. */
export interface Node {
  /** As `--print-config` writes it. */
  readonly configuration: string
  /** The configuration file, and the directory of providers. */
  readonly file: string
  readonly programs: string
  /** Puts another configuration in place. */
  configure(configuration: string): Promise<void>
  /** Puts another provider in place. */
  replaceProvider(script: string): Promise<void>
  /** Puts another provider beside it. */
  addProvider(name: string, script: string): Promise<void>
  attempt(asking: Asking): Promise<Finished>
  /** Of the providers whose matchImages match. */
  ask(asking: Asking): Promise<readonly ProviderResponse[]>
  close(): Promise<void>
}

/** `upstreams`: of Berth's configuration on this node; `args`: for `--print-config`. */
export async function createNode(
  upstreams: readonly object[],
  args: readonly string[] = [],
): Promise<Node> {
  const directory = await mkdtemp(join(tmpdir(), 'berth-node-'))
  const programs = join(directory, 'bin')
  const file = join(directory, 'credential-provider.yaml')
  const berth = join(directory, 'berth.yaml')
  const token = join(directory, 'token')
  const path = [dirname(process.execPath), '/usr/sbin', '/usr/bin', '/sbin', '/bin'].join(':')
  const environment = { PATH: path, HOME: directory }
  await mkdir(programs)
  const provider = join(programs, 'berth-credential-provider')
  await symlink(main, provider)
  await writeFile(berth, stringify({ upstreams }))
  const configuration = await run([provider, '--config', berth, '--print-config', ...args], {
    environment,
  })
  await writeFile(file, configuration)

  const attemptAsking = async (asking: Asking): Promise<Finished> => {
    await writeFile(token, asking.token ?? '')
    const annotations = Object.entries(asking.annotations ?? {})
    const command = [
      ...[tool('credential-provider'), '--config', file, '--bin-dir', programs],
      ...['--image', asking.image, '--token-file', token],
      ...annotations.flatMap(([key, value]) => ['--annotation', `${key}=${value}`]),
    ]
    return attempt(command, { environment })
  }

  return {
    configuration,
    file,
    programs,
    configure: (text) => writeFile(file, text),
    replaceProvider: async (script) => {
      await rm(provider)
      await writeFile(provider, script, { mode: 0o755 })
    },
    addProvider: (name, script) => writeFile(join(programs, name), script, { mode: 0o755 }),
    attempt: attemptAsking,
    ask: async (asking) => {
      const { status, stdout, output } = await attemptAsking(asking)
      if (status !== 0) throw new Error(output)
      return JSON.parse(stdout) as readonly ProviderResponse[]
    },
    close: () => removeDirectory(directory),
  }
}
