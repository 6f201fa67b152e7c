import { connect as connectSocket, type Socket } from 'node:net'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { type Content, createManyBlobs } from './content.ts'
import { inTurns, median, type Row } from './measure.ts'
import { adminPort, type Bench, type Peer, startBerth } from './peers.ts'

type StartOptions = {
  readonly bench: Bench
  readonly upstream: string
  readonly rounds: number
  readonly blobs: number
}

/** Time from the start of the process to its first response, and its memory when idle. */
export async function measureStarts({
  bench,
  upstream,
  rounds,
  blobs,
}: StartOptions): Promise<readonly Row[]> {
  const full = join(bench.directory, 'full')
  const start = (storage: string) => async () => {
    const began = performance.now()
    const peer = await startBerth(bench, { upstream, storage })
    const elapsed = performance.now() - began
    await sleep(2000)
    const memory = peer.memory()
    await peer.stop()
    return { elapsed, memory }
  }
  // Berth refuses a directory with files that it has not begun itself.
  await start(full)()
  createManyBlobs(join(full, 'cache'), blobs)
  const [empty = [], many = []] = await inTurns(rounds, [
    start(join(bench.directory, 'empty')),
    start(full),
  ])
  const milliseconds = (all: typeof empty) => median(all.map(({ elapsed }) => elapsed))
  const megabytes = median(empty.map(({ memory }) => memory)) / 1e6
  return [
    {
      what: 'start to ready, empty cache',
      value: milliseconds(empty),
      unit: 'ms',
      target: 500,
      better: 'less',
      detail: '',
    },
    {
      what: `start to ready, ${blobs} cached blobs`,
      value: milliseconds(many),
      unit: 'ms',
      target: 500,
      better: 'less',
      detail: '',
    },
    {
      what: 'idle memory',
      value: megabytes,
      unit: 'MB',
      target: 100,
      better: 'less',
      detail: `with ${blobs} blobs ${(median(many.map(({ memory }) => memory)) / 1e6).toFixed(0)} MB`,
    },
  ]
}

type PausedOptions = { readonly content: Content; readonly berth: Peer; readonly readers: number }

/** Clients that request a large blob and do not read it. */
export async function measurePausedReaders({
  content,
  berth,
  readers,
}: PausedOptions): Promise<readonly Row[]> {
  const path = `/v2/${content.name}/blobs/${content.blobs['200MB']}`
  const sockets: Socket[] = []
  for (let at = 0; at < readers; at += 1) {
    const socket = connectSocket({ port: berth.port, host: '127.0.0.1' })
    socket.on('error', () => {})
    socket.pause()
    socket.write(`GET ${path} HTTP/1.1\r\nhost: 127.0.0.1\r\n\r\n`)
    sockets.push(socket)
  }
  const times: number[] = []
  for (let probe = 0; probe < 40; probe += 1) {
    const began = performance.now()
    await (await fetch(`http://127.0.0.1:${adminPort(berth)}/readyz`)).text()
    times.push(performance.now() - began)
    await sleep(25)
  }
  for (const socket of sockets) socket.destroy()
  return [
    {
      what: `${readers} paused readers: slowest /readyz`,
      value: Math.max(...times),
      unit: 'ms',
      target: 250,
      better: 'less',
      detail: `median ${median(times).toFixed(1)} ms`,
    },
  ]
}
