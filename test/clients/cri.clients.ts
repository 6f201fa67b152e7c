import assert from 'node:assert/strict'
import { mkdir, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { startContainerd } from '../support/containerd.ts'
import { createCri } from '../support/cri.ts'
import { tool } from '../support/programs.ts'
import { type ClientKind, describeClient, mirrored } from '../support/pulling.ts'

const runtimes = [
  { runtime: "Debian's containerd 1.6", program: '/usr/bin/containerd', version: 2 },
  { runtime: 'containerd 2', program: tool('containerd'), version: 3 },
] as const

type Way = {
  readonly way: string
  /** The registry in the image's name; without it, Berth's own address. */
  readonly registry?: string
  readonly hosts?: (host: string) => string
  readonly chunks?: number
  readonly afterwards?: ClientKind['afterwards']
}

const ways: readonly Way[] = [
  { way: 'TLS first, since no hosts.toml is there' },
  { way: 'by hosts.toml', hosts: (host) => `[host."http://${host}"]\n` },
  {
    way: 'as a mirror of another registry',
    registry: mirrored,
    hosts: (host) => `server = "https://${mirrored}"\n[host."http://${host}"]\n`,
    afterwards: ({ requests }) => {
      const names = requests().map(({ repository }) => String(repository))
      assert.ok(names.some((name) => name.startsWith(`${mirrored}/`)))
    },
  },
]

const inPieces: Way = {
  way: 'in pieces fetched at the same time',
  chunks: 1024 * 1024,
  afterwards: ({ requests }, { image }) => {
    const large = image.blobs.toSorted((a, b) => b.bytes.length - a.bytes.length)[0]
    const pieces = requests().filter(
      ({ reference, status }) => reference === large?.digest && status === 206,
    )
    assert.ok(pieces.length > 10, `${pieces.length} pieces`)
  },
}

for (const kind of runtimes) {
  for (const way of kind.version === 2 ? ways : [...ways, inPieces])
    describeClient(criClient(kind, way))
}

/** containerd as a kubelet uses it. */
function criClient(
  { runtime, program, version }: (typeof runtimes)[number],
  { way, registry, hosts, chunks, afterwards }: Way,
): ClientKind {
  return {
    name: `CRI of ${runtime}, ${way}`,
    pullsAll: false,
    ...(afterwards && { afterwards }),
    start: async (host, directory) => {
      const name = registry ?? host
      const daemon = await startContainerd({
        program,
        directory,
        version,
        ...(chunks !== undefined && { chunks }),
      })
      if (hosts !== undefined) {
        await mkdir(join(daemon.certificates, name))
        await writeFile(join(daemon.certificates, name, 'hosts.toml'), hosts(host))
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
