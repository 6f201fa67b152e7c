import assert from 'node:assert/strict'
import { join } from 'node:path'
import { suite, type TestContext, test } from 'node:test'
import { eventually, removeBerth, startBerth } from '../support/berth.ts'
import { get } from '../support/client.ts'
import { runCommand } from '../support/command.ts'
import { makeImage, makeIndex, randomBlob } from '../support/images.ts'
import { createPushClient } from '../support/push-client.ts'

const everything = [{ users: ['*'], repositories: ['**'], actions: ['pull', 'push', 'delete'] }]

async function start(t: TestContext, config: Readonly<Record<string, unknown>> = {}) {
  const berth = await startBerth({
    config: {
      upstreams: [],
      auth: { access: everything },
      collection: { interval: '1h', grace: '300ms', minimumFree: 0 },
      ...config,
    },
  })
  t.after(() => removeBerth(berth))
  const root = join(berth.directory, 'data', 'hosted')
  const run = async (...args: readonly string[]) => {
    const { status, stdout, stderr } = await runCommand([...args, '--directory', root])
    return { status, stderr, lines: stdout.split('\n').filter(Boolean), stdout }
  }
  /** Runs a command that must succeed, and returns its lines as JSON. */
  const json = async (...args: readonly string[]) => {
    const { status, stderr, lines } = await run(...args, '-o', 'json')
    assert.equal(status, 0, stderr)
    return lines.map((line) => JSON.parse(line) as Readonly<Record<string, unknown>>)
  }
  return { berth, root, run, json, client: createPushClient(berth.url) }
}

type Started = Awaited<ReturnType<typeof start>>

/** Runs collections until one removes so many blobs. */
async function collect({ json }: Started, removed: number) {
  let steps: readonly Readonly<Record<string, unknown>>[] = []
  await eventually(`${removed} blobs are removed`, async () => {
    steps = await json('gc').catch(() => [])
    return steps.at(-1)?.['removed'] === removed
  })
  return steps
}

suite('berth gc', () => {
  test('removes what an image leaves, one line of JSON for each step, and restores it', async (t) => {
    const scene = await start(t)
    const { client, json, berth } = scene
    const [image, other] = [makeImage(), makeImage()]
    await client.push('local/app', image, 'v1')
    await client.push('local/app', other, 'v2')
    assert.equal((await client.send('DELETE', `local/app/manifests/${image.digest}`)).status, 202)
    // The images have the same config.
    const steps = await collect(scene, 3)
    assert.deepEqual(
      steps.map(({ step }) => step),
      ['candidates', 'remove', 'remove', 'remove', 'end'],
    )
    const runs = await json('gc', '--runs')
    assert.equal(runs.length, 2)
    const undone = await json('gc', '--undo', String(runs[1]?.['run']))
    assert.equal(undone.at(-1)?.['outcome'], 'done')
    for (const { digest, bytes } of image.blobs)
      assert.deepEqual((await get(`${berth.url}/v2/local/app/blobs/${digest}`)).body, bytes)
    assert.equal((await get(`${berth.url}/v2/local/app/manifests/v1`)).status, 200)
    assert.ok((await berth.metric('berth_collection_removed_total{what="blob"}')) >= 3)
  })

  test('runs by itself at each interval', async (t) => {
    const collection = { interval: '100ms', grace: '300ms', trash: '1s', minimumFree: 0 }
    const { berth, client } = await start(t, { collection })
    await client.push('local/app', makeImage(), 'v1')
    const blob = randomBlob(1000)
    await client.pushBlob('local/app', blob)
    await eventually('it is removed', async () => {
      return (await berth.metric('berth_collection_removed_total{what="blob"}')) === 1
    })
    await eventually('it is deleted', async () => {
      return (await berth.metric('berth_trash_freed_bytes_total')) === 1000
    })
    assert.equal((await get(`${berth.url}/v2/local/app/blobs/${blob.digest}`)).status, 404)
  })

  test('of everything reports, and a dry run removes nothing', async (t) => {
    const { client, json, run } = await start(t)
    await client.push('local/app', makeImage(), 'v1')
    const full = await json('gc', '--full', '--dry-run')
    assert.deepEqual(
      full.find(({ step }) => step === 'full'),
      { step: 'full', blobs: 4, referenced: 4, missed: 0, absent: 0 },
    )
    const text = await run('gc', '--full', '-o', 'text')
    assert.match(text.stdout, /the volume has 4 blobs; 4 referenced/)
  })

  test('says that the trash is empty', async (t) => {
    const { client, run, json } = await start(t)
    await client.push('local/app', makeImage(), 'v1')
    assert.equal((await run('gc', '--runs', '-o', 'text')).stdout, 'the trash is empty\n')
    assert.deepEqual(await json('gc', '--runs'), [])
  })

  test('says what is wrong with the command, and that no registry runs', async (t) => {
    const { berth, run } = await start(t)
    const wrong = await run('gc', '--undo', '../../etc')
    assert.equal(wrong.status, 1)
    await berth.stop()
    const { status, stderr } = await run('gc')
    assert.equal(status, 1)
    assert.match(stderr, /no running registry has .*control\.sock; run the command where/)
  })
})

suite('berth retention', () => {
  const retention = {
    interval: '1h',
    rules: [
      { name: 'pull requests', action: 'delete', tags: ['pr-*'], olderThan: '500ms' },
      { name: 'old', action: 'delete', tags: ['old-*'], olderThan: '30d' },
      { name: 'kept', action: 'keep', tags: ['pr-keep'] },
    ],
  }

  test('explains what happens to a tag, and does it', async (t) => {
    const { client, run, json, berth } = await start(t, { retention })
    const index = makeIndex([makeImage(), makeImage()])
    await client.push('local/app', index, 'pr-1')
    await client.push('local/app', makeImage(), 'pr-keep')
    await client.push('local/app', makeImage(), 'old-1')

    const old = await run('retention', 'explain', 'local/app:old-1')
    assert.match(old.stdout, /^local\/app:old-1 is kept: the rule "old" deletes it from 20/)
    const kept = await run('retention', 'explain', 'local/app:pr-keep')
    assert.match(kept.stdout, /is kept: the rule "kept" matches it/)
    assert.match(kept.stdout, /delete "pull requests": matches from 20/)
    const [explained] = await json('retention', 'explain', 'localhost:30026/local/app:old-1')
    assert.deepEqual(Object(explained?.['decision']).kind, 'not-yet')
    const unknown = await run('retention', 'explain', 'local/app:nothing')
    assert.match(unknown.stderr, /there is no tag local\/app:nothing/)

    await eventually('the rule matches', async () => {
      const dry = await json('retention', 'run', '--dry-run')
      return dry.filter(({ step }) => step === 'would-delete').length === 4
    })
    assert.equal((await get(`${berth.url}/v2/local/app/manifests/pr-1`)).status, 200)
    // That was a pull: it is kept for the grace period.
    await eventually('it is deleted', async () => {
      await run('retention', 'run')
      const { body } = await get(`${berth.url}/v2/local/app/tags/list`)
      return body.toString() === '{"name":"local/app","tags":["old-1","pr-keep"]}'
    })
    const history = await run('tag', 'history', 'local/app:pr-1')
    assert.match(history.stdout, new RegExp(`^ {2}20.* ${index.digest}\n$`))
    const undone = await run('tag', 'undo', 'local/app:pr-1')
    assert.equal(undone.stdout, `local/app:pr-1 points to ${index.digest} again\n`)
    for (const { digest } of [index, ...index.children])
      assert.equal((await get(`${berth.url}/v2/local/app/manifests/${digest}`)).status, 200)
  })
})

test('berth tag undo points a tag to its last version', async (t) => {
  const { client, run, berth } = await start(t)
  const [first, second] = [makeImage(), makeImage()]
  await client.push('local/app', first, 'latest')
  await client.push('local/app', second, 'latest')
  const history = await run('tag', 'history', 'local/app:latest')
  assert.match(history.lines[0] ?? '', new RegExp(`^\\* 20.* ${second.digest}$`))
  assert.equal((await run('tag', 'undo', 'local/app:latest')).status, 0)
  const { body } = await get(`${berth.url}/v2/local/app/manifests/latest`)
  assert.deepEqual(body, first.bytes)
  const none = await run('tag', 'undo', 'local/app:none')
  assert.match(none.stderr, /local\/app:none has no earlier version/)
})
