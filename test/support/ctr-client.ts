import { startContainerd } from './containerd.ts'
import { run, tool } from './programs.ts'
import type { ClientKind } from './pulling.ts'

export type CtrProgram = {
  readonly name: string
  readonly containerd: string
  readonly ctr: string
  readonly version: 2 | 3
}

/** containerd's own command, which pulls over plain HTTP, and for all machines, when it is told to. */
function ctrClient({ name, containerd, ctr, version }: CtrProgram): ClientKind {
  return {
    name,
    pullsAll: true,
    start: async (host, directory) => {
      const daemon = await startContainerd({ program: containerd, directory, version })
      const environment = { HOME: directory }
      return {
        pull: async (name, { user, password }) => {
          const pull = [
            ...[ctr, '--address', daemon.socket, 'images', 'pull'],
            ...['--plain-http', '--all-platforms'],
          ]
          await run([...pull, '--user', `${user}:${password}`, `${host}/${name}`], { environment })
        },
        check: (_name, wanted) => daemon.check(wanted),
        close: daemon.close,
      }
    },
  }
}

export const oldCtrClient = ctrClient({
  name: "ctr of Debian's containerd 1.6",
  containerd: '/usr/bin/containerd',
  ctr: '/usr/bin/ctr',
  version: 2,
})

export const newCtrClient = ctrClient({
  name: 'ctr of containerd 2',
  containerd: tool('containerd'),
  ctr: tool('ctr'),
  version: 3,
})
