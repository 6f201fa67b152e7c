import { startContainerd } from '../support/containerd.ts'
import { run, tool } from '../support/programs.ts'
import { type ClientKind, describeClient } from '../support/pulling.ts'

type Kind = {
  readonly name: string
  readonly containerd: string
  readonly ctr: string
  readonly version: 2 | 3
}

/** containerd's own command, which pulls over plain HTTP, and for all machines, when it is told to. */
function ctrClient({ name, containerd, ctr, version }: Kind): ClientKind {
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

describeClient(
  ctrClient({
    name: "ctr of Debian's containerd 1.6",
    containerd: '/usr/bin/containerd',
    ctr: '/usr/bin/ctr',
    version: 2,
  }),
)

describeClient(
  ctrClient({
    name: 'ctr of containerd 2',
    containerd: tool('containerd'),
    ctr: tool('ctr'),
    version: 3,
  }),
)
