import { once } from 'node:events'
import { createServer, type Server, type Socket } from 'node:net'
import { Command } from 'commander'
import { joinStreams } from '../../tunnel/tunnel.ts'
import type { Context } from '../login/registry-options.ts'
import { untilInterrupted } from '../output/image-output.ts'
import { outputOption } from '../output/options.ts'
import { InterruptedError, UsageError } from '../process/errors.ts'
import { addClusterOptions, type ClusterOptions } from './cluster-options.ts'
import { type ClusterRegistry, openClusterRegistry } from './cluster-registry.ts'
import { createStateLines } from './connection-lines.ts'

type Flags = ClusterOptions & { readonly port?: string; readonly output: 'text' | 'json' }

const defaultPort = 30026

/** `berth connect`: the registry of a cluster at a port of this machine, under the name that pods use. */
export function connectCommand(context: Context): Command {
  const command = new Command('connect')
    .summary('open the registry of a cluster at localhost:30026, for docker and other clients')
    .description(
      'Open the registry in a cluster at localhost:30026 of this machine, so that docker, crane, ko, skaffold and others push and pull under the very name that pods use. It needs a kubeconfig with the right to run programs in the pods of the registry (create and get pods/exec), and no ingress. A connection that breaks is resumed without the clients noticing. Runs until Ctrl-C. Clients log in as usual (docker login localhost:30026).',
    )
    .option('--port <port>', 'port on this machine (default: that of the name which pods use)')
    .addOption(outputOption)
    .addHelpText('after', examples)
  return addClusterOptions(command).action((flags: Flags) =>
    untilInterrupted((signal) => connect(context, flags, signal)).catch((error: unknown) => {
      // Ctrl-C is how it ends.
      if (!(error instanceof InterruptedError)) throw error
    }),
  )
}

async function connect(context: Context, flags: Flags, signal: AbortSignal): Promise<void> {
  const onState = createStateLines(flags)
  const registry = await openClusterRegistry({ ...context, options: flags, onState, signal })
  try {
    const port = portOf(flags, registry)
    const servers = await listenLocally(port, (socket) => carry(socket, registry))
    try {
      report(flags, registry, port)
      const interrupted = Promise.withResolvers<never>()
      signal.addEventListener('abort', () => interrupted.reject(signal.reason), { once: true })
      const reason = await Promise.race([registry.closed, interrupted.promise])
      if (reason !== undefined) throw reason
    } finally {
      for (const server of servers) server.close()
    }
  } finally {
    await registry.close()
  }
}

function portOf({ port }: Flags, { host }: ClusterRegistry): number {
  const [, own] = /^localhost:(\d+)$/.exec(host) ?? []
  const number = Number(port ?? own ?? defaultPort)
  if (!Number.isInteger(number) || number < 1 || number > 65_535)
    throw new UsageError(`--port ${port}: expected a number from 1 to 65535`)
  return number
}

/** Clients resolve `localhost` to one address or the other. */
async function listenLocally(
  port: number,
  accept: (socket: Socket) => void,
): Promise<readonly Server[]> {
  const listening = await Promise.allSettled(
    ['127.0.0.1', '::1'].map(async (host) => {
      const server = createServer({ allowHalfOpen: true, noDelay: true }, accept)
      server.listen(port, host)
      await once(server, 'listening')
      return server
    }),
  )
  const [v4] = listening
  const servers = listening.flatMap((one) => (one.status === 'fulfilled' ? [one.value] : []))
  if (v4?.status !== 'rejected') return servers
  for (const server of servers) server.close()
  const isInUse = v4.reason instanceof Error && /EADDRINUSE/.test(v4.reason.message)
  throw isInUse
    ? new UsageError(
        `port ${port} of this machine is in use, perhaps by another berth connect: stop that, or choose another with --port`,
        { cause: v4.reason },
      )
    : v4.reason
}

function carry(socket: Socket, registry: ClusterRegistry): void {
  socket.on('error', () => {})
  registry.open().then(
    (stream) => joinStreams(socket, stream),
    (error: Error) => {
      process.stderr.write(`a connection failed: ${error.message}\n`)
      socket.destroy()
    },
  )
}

function report(
  flags: Flags,
  { description, hosted, scheme }: ClusterRegistry,
  port: number,
): void {
  const host = `localhost:${port}`
  const prefix = hosted.find((one) => one !== '') ?? ''
  if (flags.output === 'json') {
    process.stdout.write(`${JSON.stringify({ host, scheme, hosted, description })}\n`)
    return
  }
  const example = [host, prefix, 'app:1.2'].filter(Boolean).join('/')
  process.stdout.write(
    `${host} is the registry of ${description}\ndocker push ${example}, for example. Ctrl-C ends it.\n`,
  )
}

const examples = `
Examples:
  kubectl berth connect -n registry &
  docker tag app:1.2 localhost:30026/local/app:1.2 && docker push localhost:30026/local/app:1.2`
