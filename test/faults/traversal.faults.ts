import assert from 'node:assert/strict'
import { readFile, rm } from 'node:fs/promises'
import { join } from 'node:path'
import { after, before, test } from 'node:test'
import { type Child, startChild } from '../support/child.ts'
import { ownDirectory } from '../support/directory.ts'
import { makeImage } from '../support/images.ts'
import { pullImage } from '../support/pull.ts'
import { connectRaw } from '../support/raw.ts'
import { type ScriptedUpstream, startScriptedUpstream } from '../support/scripted-upstream.ts'
import { targetsWith, traversals } from '../support/traversals.ts'

const name = 'project/repository/app'
const calls = [
  'open,openat,openat2,creat,stat,lstat,newfstatat,statx,access,faccessat,faccessat2,readlink',
  'mkdir,mkdirat,rename,renameat,renameat2,link,linkat,symlink,symlinkat,unlink,unlinkat,truncate',
].join()
let upstream: ScriptedUpstream
let child: Child | undefined

before(async () => {
  upstream = await startScriptedUpstream()
})
after(async () => {
  await upstream.close()
  await child?.kill('SIGKILL')
  if (child !== undefined) await rm(child.directory, { recursive: true, force: true })
})

test('no path that leads elsewhere makes it look at a file outside its storage (X175)', async (t) => {
  const trace = join(await ownDirectory(t), 'trace')
  const berth = await startChild({
    config: { upstreams: [{ url: upstream.url }] },
    wrapper: ['strace', '-f', '-qq', '-s', '4096', '-e', `trace=${calls}`, '-o', trace],
  })
  child = berth
  const image = makeImage()
  upstream.put(name, 'v1', image)
  // What is loaded with the first request is loaded now.
  await pullImage(berth, name, image, 'v1')
  await ask(berth.url, '/v2/local/i/manifests/v1')
  const pathsSince = async (start: number) =>
    [...(await readFile(trace, 'utf8')).slice(start).matchAll(/"((?:[^"\\]|\\.)*)"/g)].map(
      ([, path = '']) => path,
    )
  const begun = (await readFile(trace)).length
  for (const text of traversals)
    for (const target of targetsWith(text)) await ask(berth.url, target)
  await ask(berth.url, '/v2/local/last/manifests/v1')
  const paths = await pathsSince(begun)
  assert.ok(
    paths.some((path) => path.includes('/local/last/')),
    'what is looked at is seen',
  )
  const storage = join(berth.directory, 'data/')
  const outside = paths.filter((path) => !path.startsWith(storage) && !path.startsWith('/proc/'))
  assert.deepEqual([...new Set(outside)], [])
  assert.deepEqual(
    paths.filter((path) => path.includes('..') || path.includes('bait')),
    [],
  )
})

async function ask(url: string, target: string): Promise<void> {
  const client = await connectRaw(url)
  client.ask(`GET ${target} HTTP/1.1`, 'Host: berth')
  await client.reply()
  client.socket.destroy()
}
