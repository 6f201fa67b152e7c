import { awaitReadable, close, connect, send, skip, take } from './sockets.ts'

/** The job of a load process, as JSON in its first argument. */
export type Job = {
  readonly port: number
  readonly path: string
  readonly method: 'GET' | 'HEAD'
  readonly headers: Readonly<Record<string, string>>
  readonly connections: number
  /** Time for which requests are repeated; without it, one request on each connection. */
  readonly seconds?: number
}

/** The result. Times in milliseconds since the first request. */
export type Outcome = {
  readonly requests: number
  readonly bytes: number
  readonly elapsed: number
  readonly firstBytes: readonly number[]
  /** Statuses other than 200, and answers that ended early. */
  readonly failures: number
}

type Connection = { readonly fd: number; left: number; begun: boolean }

const head = Buffer.alloc(16 * 1024)

function run({ port, path, method, headers, connections, seconds }: Job): Outcome {
  const lines = Object.entries({ host: `127.0.0.1:${port}`, ...headers })
    .map(([name, value]) => `${name}: ${value}\r\n`)
    .join('')
  const request = Buffer.from(`${method} ${path} HTTP/1.1\r\n${lines}\r\n`)
  const open = new Map<number, Connection>()
  for (let count = 0; count < connections; count += 1) {
    const fd = connect(port)
    open.set(fd, { fd, left: 0, begun: false })
  }

  const firstBytes: number[] = []
  let requests = 0
  let bytes = 0
  let failures = 0
  const started = performance.now()
  const elapsed = () => performance.now() - started
  for (const fd of open.keys()) send(fd, request)

  const finish = (connection: Connection): void => {
    requests += 1
    connection.begun = false
    if (seconds !== undefined && elapsed() < seconds * 1000) return send(connection.fd, request)
    close(connection.fd)
    open.delete(connection.fd)
  }

  const begin = (connection: Connection): boolean => {
    const length = take(connection.fd, head)
    if (length === undefined) return false
    if (length === 0) return drop(connection)
    const text = head.toString('latin1', 0, length)
    const end = text.indexOf('\r\n\r\n') + 4
    const size = method === 'HEAD' ? 0 : Number(/content-length: (\d+)/i.exec(text)?.[1] ?? 0)
    if (!text.startsWith('HTTP/1.1 200') || end < 4) failures += 1
    firstBytes.push(elapsed())
    connection.begun = true
    connection.left = size - (length - end)
    bytes += length - end
    return true
  }

  const drop = ({ fd }: Connection): false => {
    failures += 1
    close(fd)
    open.delete(fd)
    return false
  }

  const advance = (connection: Connection): void => {
    if (!connection.begun && !begin(connection)) return
    while (connection.left > 0) {
      const skipped = skip(connection.fd)
      if (skipped === undefined) return
      if (skipped === 0) return void drop(connection)
      connection.left -= skipped
      bytes += skipped
    }
    finish(connection)
  }

  while (open.size > 0) {
    for (const fd of awaitReadable([...open.keys()], 1000)) {
      const connection = open.get(fd)
      if (connection !== undefined) advance(connection)
    }
  }
  return {
    requests,
    bytes,
    elapsed: elapsed(),
    firstBytes: firstBytes.slice(0, connections),
    failures,
  }
}

if (import.meta.main) {
  process.stdout.write(JSON.stringify(run(JSON.parse(process.argv[2] ?? '') as Job)))
}
