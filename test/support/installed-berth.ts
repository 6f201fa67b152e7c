import { writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import type { TestContext } from 'node:test'
import { stringify } from 'yaml'
import { configFile } from './config-file.ts'
import { startExecApiServer } from './exec-api-server.ts'
import { run, start } from './programs.ts'

/** `berth serve` of programs that somebody has installed. */
export interface InstalledBerth {
  readonly pid: number
  /** `host:port` */
  readonly host: string
  /** Options with which its `kubectl berth` reaches it, by exec, as its user. */
  readonly asUser: readonly string[]
  page(): Promise<string>
  metrics(): Promise<string>
}

type Options = {
  /** How a program is started, without arguments. */
  readonly commandOf: (name: string) => readonly string[]
  /** For files. */
  readonly directory: string
}

const password = 'of-an-installed-registry'

/** With one user and hosted repositories below `local`, until the end of the test. */
export async function serveInstalled(
  t: TestContext,
  { commandOf, directory }: Options,
): Promise<InstalledBerth> {
  const data = join(directory, 'data')
  const htpasswd = join(directory, 'htpasswd')
  const line = await run([...commandOf('berth'), 'htpasswd', 'alice'], { input: `${password}\n` })
  await writeFile(htpasswd, line)
  const rule = { users: ['alice'], repositories: ['**'], actions: ['pull', 'push'] }
  const file = join(directory, 'berth.yaml')
  await writeFile(
    file,
    configFile({
      listen: '127.0.0.1:0',
      admin: '127.0.0.1:0',
      storage: { directory: data },
      hosted: [{ prefix: 'local' }],
      auth: { htpasswd, access: [rule] },
    }),
  )
  const program = start([...commandOf('berth'), 'serve', '--config', file], { directory })
  t.after(program.kill)
  const [listening] = await program.wrote(/^\{.*"msg":"listening".*\}$/m)
  const { listen, admin } = JSON.parse(listening)
  const host = `127.0.0.1:${listen[0].port}`
  const text = async (url: string) => (await fetch(url)).text()

  const socket = join(data, 'cache', 'berth-pipe.sock')
  const api = await startExecApiServer({
    program: [...commandOf('berth'), 'pipe', '--socket', socket],
  })
  t.after(api.close)
  const kubeconfig = join(directory, 'kubeconfig')
  await writeFile(
    kubeconfig,
    stringify({
      clusters: [{ name: 'c', cluster: { server: api.url } }],
      users: [{ name: 'u', user: { token: 'user-token' } }],
      contexts: [{ name: 'here', context: { cluster: 'c', user: 'u', namespace: 'registry' } }],
      'current-context': 'here',
    }),
  )
  const passwordFile = join(directory, 'password')
  await writeFile(passwordFile, password)
  return {
    pid: program.pid,
    host,
    asUser: ['--kubeconfig', kubeconfig, '--username', 'alice', '--password-file', passwordFile],
    page: () => text(`http://${host}/ui/`),
    metrics: () => text(`http://127.0.0.1:${admin[0].port}/metrics`),
  }
}
