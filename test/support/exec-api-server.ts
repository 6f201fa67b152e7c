import { type ChildProcess, spawn } from 'node:child_process'
import { once } from 'node:events'
import { createServer, type IncomingMessage } from 'node:http'
import { type AddressInfo, connect } from 'node:net'
import { type WebSocket, WebSocketServer } from 'ws'

/**
 * A stand-in for an API server, where none can run: it lists one pod, runs programs of this machine for exec, and
 * forwards to a port of it. Its protocols are those of Kubernetes (remotecommand `v4` and `v5`, portforward `v4`).
 */
export interface ExecApiServer {
  readonly url: string
  readonly port: number
  /** Paths of requests, with their query. */
  readonly requests: readonly string[]
  /** Programs that were started by exec. */
  readonly started: readonly ChildProcess[]
  /** Breaks all connections. */
  cut(): void
  close(): Promise<void>
}

type Options = {
  /** In place of the command that is asked for, or what to run for it. */
  readonly program: readonly string[] | ((words: readonly string[]) => readonly string[])
  /** Of the pod. */
  readonly port?: number
  readonly namespace?: string
  readonly protocols?: readonly string[]
  /** Parts of paths that are forbidden. */
  readonly forbidden?: readonly string[]
  /** Null: everyone has access. kubectl sends no token without TLS. */
  readonly token?: string | null
  /** Answers by path, in place of the stand-in's own. */
  readonly objects?: Readonly<Record<string, object>>
}

const listOfPods = { kind: 'PodList', apiVersion: 'v1' }
/** What kubectl asks first. */
const discovery: Readonly<Record<string, unknown>> = {
  '/api': { kind: 'APIVersions', versions: ['v1'] },
  '/apis': { kind: 'APIGroupList', apiVersion: 'v1', groups: [] },
  '/api/v1': {
    kind: 'APIResourceList',
    groupVersion: 'v1',
    resources: ['pods', 'configmaps'].map((name) => ({
      name,
      singularName: '',
      namespaced: true,
      kind: name === 'pods' ? 'Pod' : 'ConfigMap',
      verbs: ['get', 'list'],
    })),
  },
}

const channels = { stdin: 0, stdout: 1, stderr: 2, status: 3, close: 255 } as const

export async function startExecApiServer(options: Options): Promise<ExecApiServer> {
  const {
    program,
    port = 0,
    namespace = 'registry',
    forbidden = [],
    token = 'user-token',
  } = options
  const { protocols = ['v5.channel.k8s.io', 'v4.channel.k8s.io'] } = options
  const requests: string[] = []
  const started: ChildProcess[] = []
  const sockets = new Set<WebSocket>()
  const podName = 'berth-0'

  const refusal = ({ url = '', headers }: IncomingMessage): number | undefined => {
    requests.push(url)
    if (token !== null && headers.authorization !== `Bearer ${token}`) return 401
    return forbidden.some((part) => url.includes(part)) ? 403 : undefined
  }
  const programFor = (url: string) =>
    typeof program === 'function'
      ? program(new URL(url, 'http://localhost').searchParams.getAll('command'))
      : program
  const objectAt = (url: string): unknown => {
    const path = new URL(url, 'http://localhost').pathname
    const given = options.objects?.[path]
    if (given !== undefined) return given
    if (path === '/api/v1/pods' || path === `/api/v1/namespaces/${namespace}/pods`)
      return { ...listOfPods, items: [pod(podName, namespace, port)] }
    if (path === `/api/v1/namespaces/${namespace}/pods/${podName}`)
      return { kind: 'Pod', apiVersion: 'v1', ...(pod(podName, namespace, port) as object) }
    return discovery[path] ?? (/\/pods$/.test(path) ? { ...listOfPods, items: [] } : undefined)
  }
  const statusText = (status: number) =>
    JSON.stringify({ kind: 'Status', status: 'Failure', reason: `Reason${status}`, message: 'no' })

  const server = createServer((request, response) => {
    const status = refusal(request)
    const object = status === undefined ? objectAt(request.url ?? '') : undefined
    const code = status ?? (object === undefined ? 404 : 200)
    response
      .writeHead(code, { 'content-type': 'application/json' })
      .end(code === 200 ? JSON.stringify(object) : statusText(code))
  })
  const upgrades = new WebSocketServer({
    noServer: true,
    handleProtocols: (offered) => protocols.find((one) => offered.has(one)) ?? false,
  })
  server.on('upgrade', (request, socket, head) => {
    const status = refusal(request)
    if (status !== undefined) {
      const body = statusText(status)
      socket.end(`HTTP/1.1 ${status} No\r\nContent-Length: ${body.length}\r\n\r\n${body}`)
      return
    }
    upgrades.handleUpgrade(request, socket, head, (websocket) => {
      sockets.add(websocket)
      websocket.on('close', () => sockets.delete(websocket))
      if (request.url?.includes('/exec')) started.push(runFor(websocket, programFor(request.url)))
      else forwardFor(websocket, port)
    })
  })
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  const own = (server.address() as AddressInfo).port
  const cut = () => {
    for (const socket of sockets) socket.terminate()
  }
  return {
    url: `http://127.0.0.1:${own}`,
    port: own,
    requests,
    started,
    cut,
    close: async () => {
      cut()
      for (const child of started) child.kill('SIGKILL')
      server.closeAllConnections()
      await new Promise<void>((resolve) => server.close(() => resolve()))
    },
  }
}

function send(socket: WebSocket, channel: number, payload: Uint8Array | string): void {
  socket.send(Buffer.concat([Buffer.from([channel]), Buffer.from(payload as string)]))
}

function runFor(socket: WebSocket, [file = '', ...args]: readonly string[]): ChildProcess {
  const child = spawn(file, args)
  child.stdin.on('error', () => {})
  child.on('error', ({ message }) => {
    const status = { status: 'Failure', message: `${message}: executable file not found in $PATH` }
    send(socket, channels.status, JSON.stringify(status))
    socket.close(1000)
  })
  child.stdout.on('data', (bytes) => send(socket, channels.stdout, bytes))
  child.stderr.on('data', (bytes) => send(socket, channels.stderr, bytes))
  child.on('close', (code) => {
    const status =
      code === 0
        ? { status: 'Success' }
        : {
            status: 'Failure',
            reason: 'NonZeroExitCode',
            message: `command terminated with exit code ${code}`,
            details: { causes: [{ reason: 'ExitCode', message: String(code) }] },
          }
    send(socket, channels.status, JSON.stringify(status))
    socket.close(1000)
  })
  socket.on('message', (data: Buffer) => {
    if (data[0] === channels.stdin && data.length > 1) child.stdin.write(data.subarray(1))
    if (data[0] === channels.close) child.stdin.end()
  })
  // As kubelets do: the program goes on, with its standard input at its end.
  socket.on('close', () => child.stdin.end())
  return child
}

function forwardFor(socket: WebSocket, port: number): void {
  const other = connect(port, '127.0.0.1')
  const prefix = Buffer.alloc(2)
  prefix.writeUInt16LE(port)
  send(socket, 0, prefix)
  send(socket, 1, prefix)
  other.on('data', (bytes) => send(socket, 0, bytes))
  other.on('close', () => socket.close())
  other.on('error', ({ message }) => send(socket, 1, message))
  socket.on('message', (data: Buffer) => {
    if (data[0] === 0) other.write(data.subarray(1))
  })
  socket.on('close', () => other.destroy())
}

function pod(name: string, namespace: string, port: number): unknown {
  return {
    metadata: { name, namespace, labels: { 'app.kubernetes.io/instance': 'berth' } },
    spec: {
      containers: [{ name: 'berth', ports: [{ name: 'registry', containerPort: port }] }],
    },
    status: { conditions: [{ type: 'Ready', status: 'True' }] },
  }
}
