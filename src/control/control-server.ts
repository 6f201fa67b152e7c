import { randomUUID } from 'node:crypto'
import { once } from 'node:events'
import { chmod, rename, rm, stat } from 'node:fs/promises'
import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http'
import type { Socket } from 'node:net'
import { text } from 'node:stream/consumers'
import { openSocketDirectory } from './socket-path.ts'

/**
 * What a command can ask of the process that serves the registry, by name. `send`: one line of the
 * answer. Throws to refuse; the message is for the user.
 */
export type ControlActions = Readonly<
  Record<string, (request: unknown, send: (line: unknown) => void) => Promise<void>>
>

type ControlServerOptions = {
  /** Root of the hosted volume. */
  readonly root: string
  readonly actions: ControlActions
  /** Whether this process may write to the volume: only one process has the socket. */
  readonly mayListen: () => boolean
  readonly onError: (error: unknown) => void
}

export interface ControlServer {
  close(): Promise<void>
}

/** Milliseconds between two attempts to listen. */
const retryInterval = 1000
/** Bytes of a request. */
const maxRequest = 64 * 1024

/**
 * Listens on a Unix socket on the hosted volume, which only this user can open. Before the volume has
 * a directory of Berth's, and while another process writes to it, it tries again each second.
 */
export function createControlServer(options: ControlServerOptions): ControlServer {
  const { root, actions, mayListen, onError } = options
  let listening: { close(): Promise<void> } | undefined
  let attempt: Promise<void> | undefined
  let reported = ''

  const tryToListen = async (): Promise<void> => {
    try {
      if (listening === undefined && mayListen()) listening = await listen(root, actions)
    } catch (error) {
      const isMissing = error instanceof Error && 'code' in error && error.code === 'ENOENT'
      if (!isMissing && reported !== String(error)) onError(error)
      reported = String(error)
    }
  }
  const start = (): void => {
    attempt ??= tryToListen().finally(() => {
      attempt = undefined
    })
  }
  start()
  const timer = setInterval(start, retryInterval).unref()

  return {
    close: async () => {
      clearInterval(timer)
      await attempt
      await listening?.close()
    },
  }
}

/**
 * Answers the same kind of requests on connections that another socket has accepted: where there is no hosted
 * volume, for example.
 */
export function createControlHandler(actions: ControlActions): {
  accept(connection: Socket): void
  close(): void
} {
  const server = createServer((request, response) => {
    void answer(actions, request, response)
  })
  return {
    accept: (connection) => void server.emit('connection', connection),
    close: () => server.closeAllConnections(),
  }
}

/** Under another name first: nobody can connect before the mode is right, and a stale socket is replaced. */
async function listen(root: string, actions: ControlActions) {
  const directory = await openSocketDirectory(root)
  const own = directory.at(`.control-${randomUUID()}`)
  const server = createServer((request, response) => {
    void answer(actions, request, response)
  }).unref()
  try {
    server.listen(own)
    await once(server, 'listening')
    await chmod(own, 0o600)
    const { ino } = await stat(own)
    await rename(own, directory.at())
    return { close: () => close(server, directory, ino) }
  } catch (error) {
    server.close()
    await rm(own, { force: true })
    await directory.close()
    throw error
  }
}

async function close(
  server: Server,
  directory: Awaited<ReturnType<typeof openSocketDirectory>>,
  inode: number,
): Promise<void> {
  // Another process may have taken over.
  const found = await stat(directory.at()).catch(() => undefined)
  if (found?.ino === inode) await rm(directory.at(), { force: true })
  server.closeAllConnections()
  await new Promise<void>((resolve) => server.close(() => resolve()))
  await directory.close()
}

/** Lines of JSON; the last one is `{"error": …}` if the action failed. */
async function answer(
  actions: ControlActions,
  request: IncomingMessage,
  response: ServerResponse,
): Promise<void> {
  response.on('error', () => {})
  const send = (line: unknown) => void response.write(`${JSON.stringify(line)}\n`)
  try {
    const name = (request.url ?? '').slice(1)
    const action = Object.hasOwn(actions, name) ? actions[name] : undefined
    if (action === undefined || request.method !== 'POST')
      throw new Error(`this version of the registry does not know the action ${name}`)
    if (Number(request.headers['content-length'] ?? maxRequest + 1) > maxRequest)
      throw new Error('the request is too long')
    const body: unknown = JSON.parse(await text(request))
    response.writeHead(200, { 'content-type': 'application/x-ndjson' })
    response.flushHeaders()
    await action(body, send)
  } catch (error) {
    send({ error: error instanceof Error ? error.message : String(error) })
  }
  response.end()
}
