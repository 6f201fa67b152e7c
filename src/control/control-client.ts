import { once } from 'node:events'
import { type IncomingMessage, request } from 'node:http'
import { createInterface } from 'node:readline'
import { setTimeout as sleep } from 'node:timers/promises'
import { openSocketDirectory, socketPath } from './socket-path.ts'

type Call = {
  /** Root of the hosted volume. */
  readonly root: string
  readonly action: string
  readonly body: unknown
}

/** Nobody listens: there is no socket, or no process has it. */
const absentCodes = ['ENOENT', 'ENOTDIR', 'ECONNREFUSED', 'ENOTSOCK']

/**
 * Asks the process that serves the registry on a volume for an action. Yields the lines of its answer.
 * @throws Error with a message for the user: no process listens, or it refused.
 */
export async function* callControl({
  root,
  action,
  body,
}: Call): AsyncGenerator<unknown, void, undefined> {
  yield* linesOf(await send({ root, action, body }))
}

/** The same, by the path of the socket that a registry listens on now. */
export async function* callSocket(
  socket: string,
  call: Pick<Call, 'action' | 'body'>,
): AsyncGenerator<unknown, void, undefined> {
  yield* linesOf(await sendTo(socket, call))
}

async function* linesOf(response: IncomingMessage): AsyncGenerator<unknown, void, undefined> {
  for await (const text of createInterface({ input: response, crlfDelay: Infinity })) {
    const line: unknown = JSON.parse(text)
    if (isRefusal(line)) throw new Error(line.error)
    yield line
  }
}

/** Milliseconds for which a registry may not listen yet: it has just started, or stored its first blob. */
const patience = 2500
const pause = 100

async function send(call: Call): Promise<IncomingMessage> {
  const deadline = performance.now() + patience
  for (;;)
    try {
      return await sendOnce(call)
    } catch (cause) {
      if (!isAbsent(cause) || performance.now() > deadline) throw describe(cause, call.root)
      await sleep(pause)
    }
}

async function sendOnce({ root, action, body }: Call): Promise<IncomingMessage> {
  const directory = await openSocketDirectory(root)
  try {
    return await sendTo(directory.at(), { action, body })
  } finally {
    await directory.close()
  }
}

async function sendTo(
  socket: string,
  { action, body }: Pick<Call, 'action' | 'body'>,
): Promise<IncomingMessage> {
  const text = JSON.stringify(body)
  const sent = request({
    socketPath: socket,
    method: 'POST',
    path: `/${action}`,
    headers: { 'content-length': Buffer.byteLength(text) },
  })
  sent.end(text)
  const [response] = await once(sent, 'response')
  return response
}

function isAbsent(cause: unknown): boolean {
  return cause instanceof Error && 'code' in cause && absentCodes.includes(String(cause.code))
}

function describe(cause: unknown, root: string): Error {
  const code = cause instanceof Error && 'code' in cause ? String(cause.code) : ''
  if (isAbsent(cause))
    return new Error(
      `no running registry has ${socketPath(root)}; run the command where berth serve runs, with its configuration (--config or $BERTH_CONFIG), or name the directory of hosted repositories (--directory). Before the first push there is nothing to do`,
      { cause },
    )
  if (code === 'EACCES' || code === 'EPERM')
    return new Error(
      `cannot open ${socketPath(root)}: run the command as the user of berth serve`,
      { cause },
    )
  return new Error(`the registry did not answer: ${String(cause)}`, { cause })
}

function isRefusal(line: unknown): line is { readonly error: string } {
  return (
    typeof line === 'object' && line !== null && 'error' in line && typeof line.error === 'string'
  )
}
