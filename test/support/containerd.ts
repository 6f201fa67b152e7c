import assert from 'node:assert/strict'
import { mkdir, readdir, readFile, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { type Digest, digestOf } from '../../src/oci/digest.ts'
import type { Image } from './images.ts'
import { type Program, startIsolated } from './programs.ts'
import { contentOf } from './pulling.ts'

/** A containerd of a test's own. */
export interface Containerd {
  readonly socket: string
  /** Where `hosts.toml` of a registry goes: `DIRECTORY/HOST/hosts.toml`. */
  readonly certificates: string
  output(): string
  /** Everything that these images stand for is in its content store, and nothing there is wrong. */
  check(wanted: readonly Image[]): Promise<void>
  close(): Promise<void>
}

type ContainerdOptions = {
  readonly program: string
  readonly directory: string
  /** The format of its configuration: 2 for containerd 1, 3 for containerd 2. */
  readonly version: 2 | 3
  /** Has no config_path. */
  readonly withoutPath?: boolean
  /** Size of chunks that are fetched concurrently, in bytes, if it supports that. */
  readonly chunks?: number
  /** Deletes layers after they are unpacked. */
  readonly discards?: boolean
}

export async function startContainerd(options: ContainerdOptions): Promise<Containerd> {
  const { program, directory } = options
  const root = join(directory, 'root')
  const socket = join(directory, 'containerd.sock')
  const certificates = join(directory, 'certs.d')
  await mkdir(certificates)
  const file = join(directory, 'config.toml')
  await writeFile(file, configuration(options, { root, socket, certificates }))
  const environment = { HOME: directory }
  const daemon: Program = startIsolated([program, '--config', file], { directory, environment })
  await daemon.wrote(/containerd successfully booted/)

  return {
    socket,
    certificates,
    output: daemon.output,
    check: (wanted) =>
      checkContent(join(root, 'io.containerd.content.v1.content', 'blobs', 'sha256'), wanted),
    close: daemon.kill,
  }
}

type Places = { readonly root: string; readonly socket: string; readonly certificates: string }

function configuration(
  { directory, version, chunks = 0, withoutPath = false, discards = false }: ContainerdOptions,
  { root, socket, certificates }: Places,
): string {
  const common = `
version = ${version}
root = "${root}"
state = "${join(directory, 'state')}"
[grpc]
  address = "${socket}"
[plugins."io.containerd.internal.v1.opt"]
  path = "${join(directory, 'opt')}"
`
  if (withoutPath) return common
  const cri =
    version === 2
      ? `
[plugins."io.containerd.grpc.v1.cri".containerd]
  discard_unpacked_layers = ${discards}
[plugins."io.containerd.grpc.v1.cri".registry]
  config_path = "${certificates}"
`
      : `
[plugins."io.containerd.cri.v1.images"]
  max_concurrent_downloads = 4
  concurrent_layer_fetch_buffer = ${chunks}
  discard_unpacked_layers = ${discards}
[plugins."io.containerd.cri.v1.images".registry]
  config_path = "${certificates}"
[plugins."io.containerd.transfer.v1.local"]
  max_concurrent_downloads = 4
  concurrent_layer_fetch_buffer = ${chunks}
  config_path = "${certificates}"
`
  return common + cri
}

async function checkContent(directory: string, wanted: readonly Image[]): Promise<void> {
  const rest = new Map(contentOf(wanted))
  for (const hex of await readdir(directory)) {
    const bytes = await readFile(join(directory, hex))
    const digest: Digest = digestOf(bytes)
    assert.equal(digest, `sha256:${hex}`)
    rest.delete(digest)
  }
  assert.deepEqual([...rest.keys()], [], 'content that is missing in the store')
}
