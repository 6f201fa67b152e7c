import { randomBytes } from 'node:crypto'
import { mkdirSync, openAsBlob, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { digestOf } from '../../src/oci/digest.ts'
import { namespaces } from '../support/cluster-scene.ts'
import {
  authorization,
  type ConnectScene,
  execRules,
  setConnectScene,
} from '../support/connect-scene.ts'
import { run, start, tool } from '../support/programs.ts'
import { inTurns, type Row, ratioOf, show } from './measure.ts'

type TunnelOptions = {
  readonly directory: string
  readonly rounds: number
  /** Megabytes. */
  readonly transfer: number
}

type Content = { readonly file: string; readonly size: number; readonly digest: string }
/** Each moves the content in milliseconds. */
type Ways = Readonly<Record<'connect' | 'copy' | 'forward', () => Promise<number>>>

const ports = { connect: 31_026, forward: 31_027 } as const
const headers = { authorization }

/**
 * One stream of bytes into a real cluster and out of it, by `berth connect` with the rights for exec alone, by `kubectl cp`
 * and by `kubectl port-forward`, in turns. The first and the last go to the registry, which hashes what arrives and
 * writes it durably.
 */
export async function measureTunnel(options: TunnelOptions): Promise<readonly Row[]> {
  const { rounds, transfer } = options
  const directory = join(options.directory, 'tunnel')
  mkdirSync(directory)
  const content = writeContent(join(directory, 'bytes'), transfer * 1_000_000)
  const scene = await setConnectScene(directory)
  try {
    const { into, outOf } = await openWays(scene, directory, content)
    return [
      ...(await compare(`${transfer} MB into a cluster`, into, { rounds, content })),
      ...(await compare(`${transfer} MB out of a cluster`, outOf, { rounds, content })),
    ]
  } finally {
    await scene.close()
  }
}

function writeContent(file: string, size: number): Content {
  const bytes = randomBytes(size)
  writeFileSync(file, bytes)
  return { file, size, digest: digestOf(bytes) }
}

async function openWays(
  scene: ConnectScene,
  directory: string,
  content: Content,
): Promise<{ readonly into: Ways; readonly outOf: Ways }> {
  const developer = await scene.createDeveloper('developer', execRules)
  await scene.connect(developer, ports.connect)
  const environment = { HOME: directory, KUBECONFIG: scene.cluster.kubeconfig }
  const pod = await scene.pod()
  const forward = ['port-forward', '-n', namespaces.berth, pod, `${ports.forward}:30026`]
  await start([tool('kubectl'), ...forward], { environment }).wrote(/Forwarding from/)
  const remote = `${namespaces.berth}/${pod}:/var/lib/berth/bytes`
  const copy = (from: string, to: string) =>
    timed(() => run([tool('kubectl'), 'cp', from, to], { environment, patience: 600 }))
  let pushes = 0
  const push = (port: number) =>
    timed(() => {
      pushes += 1
      return pushBlob(`http://127.0.0.1:${port}/v2/local/push-${pushes}`, content)
    })
  const pull = (port: number) =>
    timed(() => pullBlob(`http://127.0.0.1:${port}/v2/local/push-1`, content))
  return {
    into: {
      connect: push(ports.connect),
      copy: copy(content.file, remote),
      forward: push(ports.forward),
    },
    outOf: {
      connect: pull(ports.connect),
      copy: copy(remote, join(directory, 'back')),
      forward: pull(ports.forward),
    },
  }
}

async function compare(
  what: string,
  { connect, copy, forward }: Ways,
  { rounds, content }: { readonly rounds: number; readonly content: Content },
): Promise<readonly Row[]> {
  const results = await inTurns(rounds, [connect, copy, forward])
  const [ours = [], copied = [], forwarded = []] = results
  const [own, cp, portForward] = results.map((all) =>
    show(
      all.map((milliseconds) => content.size / 1000 / milliseconds),
      0,
    ),
  )
  const detail = `berth connect ${own}, kubectl cp ${cp}, kubectl port-forward ${portForward} MB/s`
  const row = (name: string, theirs: readonly number[], target: number): Row => ({
    what: `${what}: berth connect / ${name}`,
    value: ratioOf(theirs, ours, (milliseconds) => milliseconds),
    unit: 'ratio',
    target,
    better: 'more',
    detail,
  })
  return [row('kubectl cp', copied, 1), row('kubectl port-forward', forwarded, 0.5)]
}

function timed(work: () => Promise<unknown>): () => Promise<number> {
  return async () => {
    const began = performance.now()
    await work()
    return performance.now() - began
  }
}

async function pushBlob(repository: string, { file, digest }: Content): Promise<void> {
  const opened = await fetch(`${repository}/blobs/uploads/`, { method: 'POST', headers })
  const location = new URL(opened.headers.get('location') ?? '', repository)
  location.searchParams.set('digest', digest)
  const body = await openAsBlob(file)
  const put = await fetch(location, { method: 'PUT', headers, body })
  if (put.status !== 201) throw new Error(`push to ${repository}: ${put.status}`)
}

async function pullBlob(repository: string, { size, digest }: Content): Promise<void> {
  const { body } = await fetch(`${repository}/blobs/${digest}`, { headers })
  let received = 0
  for await (const { length } of body ?? []) received += length
  if (received !== size) throw new Error(`${repository}: ${received} bytes instead of ${size}`)
}
