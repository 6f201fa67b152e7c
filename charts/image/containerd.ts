import { existsSync } from 'node:fs'
import { ImageError, run } from './run.ts'

/** An image in an archive. */
export type Archived = { readonly name: string; readonly file: string }

export type LoadOptions = {
  /** Of the cluster that `kubectl` reaches; undefined: its current one. */
  readonly context?: string
  /** containerd's, where it is not one of the usual. */
  readonly socket?: string
  /** The image of the pods that load it; it needs `sh`, `sleep` and `chroot`. */
  readonly helperImage: string
}

/** containerd's, and that of k3s and RKE2. */
export const sockets = [
  '/run/containerd/containerd.sock',
  '/run/k3s/containerd/containerd.sock',
] as const

/** kubelets look in the name space `k8s.io`, and remove images that are not pinned when disks fill. */
export async function loadContainerd(
  { name, file }: Archived,
  { socket: given }: Pick<LoadOptions, 'socket'>,
): Promise<void> {
  const socket = given ?? sockets.find((path) => existsSync(path))
  if (socket === undefined)
    throw new ImageError(`no containerd is at ${sockets.join(' or ')}: name its --socket`)
  const images = ['ctr', '--address', socket, '--namespace', 'k8s.io', 'images']
  await run([...images, 'import', file])
  await run([...images, 'label', name, 'io.cri-containerd.pinned=pinned'], { quiet: true })
}
