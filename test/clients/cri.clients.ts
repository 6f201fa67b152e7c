import assert from 'node:assert/strict'
import { mkdir, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { startContainerd } from '../support/containerd.ts'
import { createCri } from '../support/cri.ts'
import { tool } from '../support/programs.ts'
import { type ClientKind, describeClient } from '../support/pulling.ts'
import { mirrored } from '../support/scene.ts'
import { startTap } from '../support/tap.ts'

const runtimes = [
  { runtime: "Debian's containerd 1.6", program: '/usr/bin/containerd', version: 2 },
  { runtime: 'containerd 2', program: tool('containerd'), version: 3 },
] as const

type Runtime = (typeof runtimes)[number]

type Way = {
  readonly way: string
  /** The registry in the image's name; without it, Berth's own address. */
  readonly registry?: string
  readonly hosts?: (host: string, authority?: string) => string
  readonly chunks?: number
  readonly tls?: ClientKind['tls']
  readonly afterwards?: ClientKind['afterwards']
}

/** containerd 2 goes on from the first, if it does not believe it, to localhost itself, unverified. */
const byHosts: Way = {
  way: 'by hosts.toml',
  tls: 'verified',
  hosts: (host, authority) => {
    if (authority === undefined) return `[host."http://${host}"]\n`
    const server = `"https://${host}"`
    const ca = `ca = "${authority}"\n`
    return `server = ${server}\n${ca}[host.${server}]\n${ca}`
  },
}

const asMirror: Way = {
  way: 'as a mirror of another registry',
  registry: mirrored,
  hosts: (host) => `server = "https://${mirrored}"\n[host."http://${host}"]\n`,
  afterwards: ({ berth }) => {
    const names = berth.requests().map(({ repository }) => String(repository))
    assert.ok(names.some((name) => name.startsWith(`${mirrored}/`)))
  },
}

/** Each worker asks for a part; the first of them, of a blob that nobody has, starts the one fill (L94). */
const inPieces: Way = {
  way: 'in pieces fetched at the same time',
  chunks: 1024 * 1024,
  afterwards: ({ berth, images }) => {
    const large = images.image.blobs.toSorted((a, b) => b.bytes.length - a.bytes.length)[0]
    const pieces = berth
      .requests()
      .filter(({ reference, status }) => reference === large?.digest && status === 206)
    assert.ok(pieces.length > 10, `${pieces.length} pieces`)
  },
}

for (const runtime of runtimes) {
  describeClient(criWithoutHosts(runtime))
  describeClient(criClient(runtime, byHosts))
  describeClient(criClient(runtime, asMirror))
  if (runtime.version === 3) describeClient(criClient(runtime, inPieces))
}

/** containerd as a kubelet uses it. */
function criClient(
  runtime: Runtime,
  { way, registry, hosts, chunks, tls, afterwards }: Way,
): ClientKind {
  const { program, version } = runtime
  return {
    name: `CRI of ${runtime.runtime}, ${way}`,
    pullsAll: false,
    ...(tls && { tls }),
    ...(afterwards && { afterwards }),
    start: async (host, directory, authority) => {
      const name = registry ?? host
      const parallel = chunks !== undefined && { chunks }
      const daemon = await startContainerd({ program, directory, version, ...parallel })
      if (hosts !== undefined) {
        await mkdir(join(daemon.certificates, name))
        await writeFile(join(daemon.certificates, name, 'hosts.toml'), hosts(host, authority))
      }
      const cri = createCri(daemon.socket)
      return {
        pull: (image, login) => cri.pullImage(`${name}/${image}`, login),
        check: (_image, wanted) => daemon.check(wanted),
        close: daemon.close,
      }
    },
  }
}

/**
 * containerd 2 tries TLS first, and goes on without because the answer to that begins with `HTTP/` (trap
 * T17); containerd 1.6 takes localhost for plain HTTP at once.
 */
function criWithoutHosts(runtime: Runtime): ClientKind {
  const kind = criClient(runtime, { way: 'without hosts.toml' })
  return {
    ...kind,
    start: async (host, directory) => {
      const tap = await startTap(host)
      const client = await kind.start(tap.host, directory)
      return {
        ...client,
        pull: async (image, login) => {
          await client.pull(image, login)
          assert.ok(tap.begun.plain > 0)
          assert.equal(tap.begun.tls > 0, runtime.version === 3, 'whether TLS was tried')
        },
        close: async () => {
          await client.close()
          tap.close()
        },
      }
    },
  }
}
