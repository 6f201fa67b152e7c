import { mkdtemp, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { type BerthProcess, startBerthProcess } from './berth-process.ts'
import { removeDirectory } from './directory.ts'
import { htpasswdLine, type Login } from './docker-registry.ts'

/** A Berth with hosted repositories below `local/`. */
export type PushScene = { readonly berth: BerthProcess; close(): Promise<void> }

/** May do everything. */
export const pusher: Login = { user: 'builder', password: 'pusher-canary-81d2' }
/** May only pull. */
export const puller: Login = { user: 'kubelet', password: 'puller-canary-3c77' }

/** `config`: what else Berth's file says. */
export async function setPushScene(
  config: Readonly<Record<string, unknown>> = {},
): Promise<PushScene> {
  const directory = await mkdtemp(join(tmpdir(), 'berth-scene-'))
  const htpasswd = join(directory, 'htpasswd')
  await writeFile(htpasswd, (await htpasswdLine(pusher)) + (await htpasswdLine(puller)))
  const access = [
    { users: [pusher.user], repositories: ['**'], actions: ['pull', 'push', 'delete'] },
    { users: [puller.user], repositories: ['**'], actions: ['pull'] },
  ]
  const berth = await startBerthProcess({
    auth: { htpasswd, access },
    upstreams: [],
    hosted: [{ prefix: 'local' }],
    ...config,
  })
  return {
    berth,
    close: async () => {
      await berth.close()
      await removeDirectory(directory)
    },
  }
}
