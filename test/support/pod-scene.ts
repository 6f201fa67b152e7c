import { symlink, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import type { TestContext } from 'node:test'
import { stringify } from 'yaml'
import { removeBerth, startBerth } from './berth.ts'
import { main, runCommand } from './command.ts'
import { ownDirectory } from './directory.ts'
import { startExecApiServer } from './exec-api-server.ts'
import { createPushClient } from './push-client.ts'

type SceneOptions = Partial<Parameters<typeof startExecApiServer>[0]> & {
  /** Of the registry, in place of that of an open one with an upstream that is down. */
  readonly config?: Readonly<Record<string, unknown>>
}

const access = [{ users: ['*'], repositories: ['**'], actions: ['pull', 'push'] }]
/** Nothing listens there. */
const down = { prefix: 'down', url: 'http://127.0.0.1:9', credentials: { type: 'anonymous' } }

/** A registry, an API server that runs the registry's own program for exec, and `kubectl berth`. */
export async function setPodScene(
  t: TestContext,
  { program, config, ...options }: SceneOptions = {},
) {
  const directory = await ownDirectory(t)
  const berth = await startBerth({
    config: config ?? { hosted: [{ prefix: 'local' }], upstreams: [down], auth: { access } },
  })
  t.after(() => removeBerth(berth))
  const socketFor = (command: string) =>
    join(berth.cache, command === 'pipe' ? 'berth-pipe.sock' : 'berth-query.sock')
  const file = join(berth.directory, 'berth.yaml')
  const port = Number(new URL(berth.url).port)
  const spool = join(directory, 'spool')
  const own = ([, command = '', ...rest]: readonly string[]) => {
    const words = [process.execPath, main, command]
    if (command === 'doctor') return [...words, ...rest, '--config', file]
    // Nothing listens at that port: no spooler runs.
    if (command === 'spool') return [...words, ...rest, '-d', spool, '--health-port', '9']
    return [...words, '--socket', socketFor(command), ...rest]
  }
  const api = await startExecApiServer({ program: program ?? own, port, ...options })
  t.after(api.close)
  const kubeconfig = join(directory, 'kubeconfig')
  await writeFile(
    kubeconfig,
    stringify({
      apiVersion: 'v1',
      kind: 'Config',
      clusters: [{ name: 'c', cluster: { server: api.url } }],
      users: [{ name: 'u', user: { token: 'user-token' } }],
      contexts: [{ name: 'here', context: { cluster: 'c', user: 'u', namespace: 'registry' } }],
      'current-context': 'here',
    }),
  )
  const plugin = join(directory, 'kubectl-berth')
  await symlink(main, plugin)
  const environment = { HOME: directory, KUBECONFIG: kubeconfig }
  const run = (...args: readonly string[]) =>
    runCommand(args, { environment, file: plugin, directory })
  return {
    berth,
    api,
    run,
    directory,
    environment,
    plugin,
    spool,
    client: createPushClient(berth.url),
  }
}
