import { type ChildProcess, spawn } from 'node:child_process'
import { existsSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs'
import { availableParallelism, homedir } from 'node:os'
import { delimiter, join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import type { Line } from './upstream.ts'

/** A server under measurement. */
export type Peer = {
  readonly name: string
  readonly pid: number
  readonly port: number
  /** CPU time used so far by it and its children, in seconds. */
  cpu(): number
  /** Peak memory, in bytes. */
  peakMemory(): number
  memory(): number
  stop(): Promise<void>
}

/** The environment of a peer. */
export type Bench = {
  /** A directory for this run. */
  readonly directory: string
  readonly nextPort: () => number
}

const ticks = 100

/** A program in PATH, in Go's directory or in `.ci/tools`. */
export function findProgram(...names: readonly string[]): string | undefined {
  const folders = [
    ...(process.env['PATH'] ?? '').split(delimiter),
    '.ci/tools',
    join(homedir(), 'go/bin'),
  ]
  return names
    .flatMap((name) => folders.map((folder) => join(folder, name)))
    .find((path) => existsSync(path))
}

type StartOptions = {
  readonly name: string
  readonly command: readonly string[]
  readonly port: number
  /** The path that is requested until the server responds. */
  readonly ready?: string
  readonly env?: Readonly<Record<string, string>>
}

export async function startPeer({
  name,
  command,
  port,
  ready = '/v2/',
  env,
}: StartOptions): Promise<Peer> {
  const [program = '', ...args] = command
  // A process group of its own is killed as a whole: nginx restarts a worker that ends.
  const child = spawn(program, args, {
    stdio: ['ignore', 'ignore', 'pipe'],
    detached: true,
    env: { ...process.env, ...env },
  })
  const kill = () => void (child.pid && process.kill(-child.pid, 'SIGKILL'))
  process.on('exit', kill)
  child.once('exit', () => process.off('exit', kill))
  let complaints = ''
  child.stderr.on('data', (chunk: Buffer) => {
    complaints = (complaints + chunk.toString()).slice(-2000)
  })
  await untilAnswers(`http://127.0.0.1:${port}${ready}`, child, () => `${name}: ${complaints}`)
  const pid = child.pid ?? 0
  const all = () => [pid, ...childrenOf(pid)]
  return {
    name,
    pid,
    port,
    cpu: () => all().reduce((sum, one) => sum + cpuOf(one), 0),
    memory: () => all().reduce((sum, one) => sum + statusOf(one, 'VmRSS'), 0),
    peakMemory: () => all().reduce((sum, one) => sum + statusOf(one, 'VmHWM'), 0),
    stop: async () => {
      if (child.exitCode !== null || child.signalCode !== null) return
      const ended = new Promise((resolve) => child.once('exit', resolve))
      kill()
      await ended
    },
  }
}

/** As our image starts Node. */
const nodeOptions = ['--max-semi-space-size=2', '--v8-pool-size=2']

type BerthOptions = {
  readonly name?: string
  /** The upstream; without it, the content of `storage` is served. */
  readonly upstream?: string
  readonly storage: string
  readonly htpasswd?: string
  /** Default: the built program. */
  readonly main?: string
  /** The field of the configuration. */
  readonly replicas?: Readonly<Record<string, unknown>>
  /** Where `hold.ts` writes; without it, that is not loaded. */
  readonly holdFile?: string
}

const everything = { users: ['*'], repositories: ['**'], actions: ['pull', 'push', 'delete'] }

export function startBerth(
  bench: Bench,
  {
    name = 'berth',
    upstream,
    storage,
    htpasswd,
    main = 'dist/bundle/main.js',
    replicas,
    holdFile,
  }: BerthOptions,
): Promise<Peer> {
  const port = bench.nextPort()
  const config = {
    listen: `127.0.0.1:${port}`,
    admin: `127.0.0.1:${bench.nextPort()}`,
    storage:
      upstream === undefined
        ? { directory: `${storage}-own`, hosted: { directory: storage } }
        : { directory: storage },
    upstreams: upstream === undefined ? [] : [{ url: upstream, tags: { ttl: '1h' } }],
    ...(replicas !== undefined && { replicas }),
    auth: { ...(htpasswd !== undefined && { htpasswd }), access: [everything] },
  }
  const file = write(bench, `berth-${port}.json`, JSON.stringify(config))
  const preload = holdFile === undefined ? [] : ['--import', './test/bench/hold.ts']
  return startPeer({
    name,
    command: [process.execPath, ...nodeOptions, ...preload, main, 'serve', '--config', file],
    port,
    ...(holdFile !== undefined && { env: { BENCH_HOLD: holdFile } }),
  })
}

export function adminPort(peer: Peer): number {
  return peer.port + 1
}

/** A reply of fastify without anything around it, by the same Node. */
export function startBare(bench: Bench, file: string): Promise<Peer> {
  const port = bench.nextPort()
  const command = [process.execPath, ...nodeOptions, 'test/bench/bare.ts', file, String(port)]
  return startPeer({ name: 'bare fastify', command, port, ready: '/v2/ready' })
}

type RegistryOptions = {
  readonly program: string
  readonly name: string
  readonly storage: string
  readonly upstream?: string
  readonly htpasswd?: string
}

/** Distribution 2 or 3. */
export function startRegistry(
  bench: Bench,
  { program, name, storage, upstream, htpasswd }: RegistryOptions,
): Promise<Peer> {
  const port = bench.nextPort()
  mkdirSync(storage, { recursive: true })
  const config = {
    version: 0.1,
    log: { level: 'error', accesslog: { disabled: true } },
    storage: { filesystem: { rootdirectory: storage } },
    http: { addr: `127.0.0.1:${port}` },
    ...(upstream !== undefined && { proxy: { remoteurl: upstream } }),
    ...(htpasswd !== undefined && { auth: { htpasswd: { realm: 'bench', path: htpasswd } } }),
  }
  const file = write(bench, `registry-${port}.yaml`, JSON.stringify(config))
  return startPeer({ name, command: [program, 'serve', file], port })
}

type NginxOptions = { readonly program: string; readonly root?: string; readonly upstream?: string }

/**
 * nginx with as many workers as cores: a file server that uses sendfile, or a cache with proxy_cache_lock.
 */
export function startNginx(bench: Bench, { program, root, upstream }: NginxOptions): Promise<Peer> {
  const port = bench.nextPort()
  const cache = join(bench.directory, `nginx-${port}`)
  mkdirSync(cache, { recursive: true })
  const files = `location ~ ^/v2/.+/blobs/sha256:(..)(.*)$ { alias ${root}/docker/registry/v2/blobs/sha256/$1/$1$2/data; }`
  const proxy = `location / { proxy_pass ${upstream}; proxy_cache c; proxy_cache_lock on; proxy_cache_lock_timeout 300s;
    proxy_cache_lock_age 300s; proxy_cache_valid 200 1h; proxy_http_version 1.1; proxy_max_temp_file_size 0; }`
  // A worker of another user could not read the files.
  const user = process.getuid?.() === 0 ? 'user root;' : ''
  const config = `daemon off; ${user} worker_processes ${availableParallelism()}; pid ${cache}/pid; error_log /dev/null;
    events { worker_connections 4096; }
    http { access_log off; keepalive_requests 1000000000; sendfile on; tcp_nopush on; client_body_temp_path ${cache}/b; proxy_temp_path ${cache}/p;
      fastcgi_temp_path ${cache}/f; uwsgi_temp_path ${cache}/u; scgi_temp_path ${cache}/s;
      proxy_cache_path ${cache}/c keys_zone=c:10m max_size=20g;
      server { listen 127.0.0.1:${port} backlog=4096; location = /v2/ { return 200; } ${upstream === undefined ? files : proxy} } }`
  const file = write(bench, `nginx-${port}.conf`, config)
  return startPeer({ name: 'nginx', command: [program, '-c', file], port })
}

export function startUpstream(bench: Bench, line: Line): Promise<Peer> {
  const port = bench.nextPort()
  const command = [process.execPath, 'test/bench/upstream.ts', JSON.stringify(line), String(port)]
  return startPeer({ name: 'upstream', command, port })
}

function write({ directory }: Bench, name: string, text: string): string {
  const path = join(directory, name)
  writeFileSync(path, text)
  return path
}

async function untilAnswers(
  url: string,
  child: ChildProcess,
  complaint: () => string,
): Promise<void> {
  for (let tries = 0; tries < 400; tries += 1) {
    if (child.exitCode !== null) throw new Error(`did not start: ${complaint()}`)
    const answer = await fetch(url).catch(() => undefined)
    await answer?.arrayBuffer()
    if (answer !== undefined && answer.status < 500) return
    await sleep(25)
  }
  throw new Error(`does not answer on ${url}: ${complaint()}`)
}

function childrenOf(pid: number): readonly number[] {
  const text = readIf(`/proc/${pid}/task/${pid}/children`)
  const children = text.split(' ').filter(Boolean).map(Number)
  return children.flatMap((child) => [child, ...childrenOf(child)])
}

/** User and system time of a process, all its threads (proc_pid_stat(5), fields 14 and 15). */
function cpuOf(pid: number): number {
  const text = readIf(`/proc/${pid}/stat`)
  const fields = text.slice(text.lastIndexOf(')') + 2).split(' ')
  return (Number(fields[11] ?? 0) + Number(fields[12] ?? 0)) / ticks
}

function statusOf(pid: number, field: string): number {
  return (
    Number(new RegExp(`${field}:\\s+(\\d+) kB`).exec(readIf(`/proc/${pid}/status`))?.[1] ?? 0) *
    1024
  )
}

function readIf(path: string): string {
  try {
    return readFileSync(path, 'utf8')
  } catch {
    return ''
  }
}
