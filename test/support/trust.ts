import { eventually } from './berth.ts'
import { type Command, startCommand } from './command.ts'

/** A running `berth trust`. */
export interface TrustProcess {
  readonly command: Command
  /** `/status`, parsed. */
  status(): Promise<Status>
  readiness(): Promise<{
    readonly status: number
    readonly parts: Readonly<Record<string, string>>
  }>
  metrics(): Promise<string>
  /** Waits until it has looked at the node and is content. */
  settled(): Promise<void>
  /** Asks it to stop; its exit status. */
  stop(): Promise<number | null>
}

type Status = {
  readonly ready: boolean
  readonly trouble: readonly string[]
  readonly runtimes: readonly {
    readonly runtime: string
    readonly version?: string
    readonly served: boolean
    readonly files: readonly { readonly path: string; readonly since: string }[]
    readonly trouble: readonly string[]
  }[]
}

export async function startTrust(
  args: readonly string[],
  environment: Readonly<Record<string, string>> = {},
): Promise<TrustProcess> {
  const command = startCommand(['trust', '--admin', '127.0.0.1:0', ...args], { environment })
  process.once('exit', () => command.signal('SIGKILL'))
  const [, port] = await command.wrote(
    /"port":(\d+)\}\].*"msg":"keeping the node's files up to date"/,
  )
  const get = (path: string) => fetch(`http://127.0.0.1:${port}${path}`)
  const status = async () => (await (await get('/status')).json()) as Status

  return {
    command,
    status,
    readiness: async () => {
      const reply = await get('/readyz')
      const { parts } = (await reply.json()) as { parts: Record<string, string> }
      return { status: reply.status, parts }
    },
    metrics: async () => (await get('/metrics')).text(),
    settled: () =>
      eventually(
        `berth trust is content:\n${command.stdout()}`,
        async () => (await status()).ready,
      ),
    stop: async () => {
      command.signal('SIGTERM')
      return (await command.finished).status
    },
  }
}
