import { existsSync } from 'node:fs'
import { ImageError, run } from './run.ts'

/** An image in an archive. */
export type Archived = { readonly name: string; readonly file: string }

export type LoadOptions = {
  /** The `kubectl` context; undefined: the current one. */
  readonly context?: string
  /** containerd's socket, if it is not in `sockets`. */
  readonly socket?: string
  /** The image of the pods that do the copying; it needs `sh`, `sleep` and `chroot`. */
  readonly helperImage: string
}

/** The sockets of containerd, and of k3s and RKE2. */
export const sockets = [
  '/run/containerd/containerd.sock',
  '/run/k3s/containerd/containerd.sock',
] as const

/** kubelets use containerd's namespace `k8s.io`, and remove unpinned images when the disk is full. */
export async function loadContainerd(
  { name, file }: Archived,
  { socket: given }: Pick<LoadOptions, 'socket'>,
): Promise<void> {
  const socket = given ?? sockets.find((path) => existsSync(path))
  if (socket === undefined)
    throw new ImageError(
      `found no containerd socket at ${sockets.join(' or ')}: set its path with --socket`,
    )
  const images = ['ctr', '--address', socket, '--namespace', 'k8s.io', 'images']
  await run([...images, 'import', file])
  await run([...images, 'label', name, 'io.cri-containerd.pinned=pinned'], { throttledFor: true })
}
