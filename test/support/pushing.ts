import assert from 'node:assert/strict'
import { randomUUID } from 'node:crypto'
import { mkdir, mkdtemp } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { after, before, describe, test } from 'node:test'
import type { BerthProcess } from './berth-process.ts'
import type { Login } from './docker-registry.ts'
import { type Image, makeIndex } from './images.ts'
import { makeLayer, makeLayeredImage } from './layered-images.ts'
import { writeLayout } from './oci-layout.ts'
import { attempt } from './programs.ts'
import type { ClientKind } from './pulling.ts'
import { type PushScene, puller, pusher, setPushScene } from './push-scene.ts'
import { servedImage } from './served-image.ts'

export type Push = {
  readonly host: string
  /** An OCI image layout with one image or index. */
  readonly layout: string
  /** What the layout names it. */
  readonly tag: string
  /** As `local/team/app:v1`. */
  readonly name: string
  readonly login: Login
  /** For what the client needs, empty at first. */
  readonly directory: string
}

/** A real client that pushes. */
export type Pusher = {
  /** Pulls again what was pushed. */
  readonly client: ClientKind
  /** It pushes the bytes that it was given; others compress layers anew. */
  readonly keepsBytes: boolean
  readonly push: (push: Push) => Promise<void>
  /** Where pushing an index is another command; undefined: it cannot push one. */
  readonly pushIndex: ((push: Push) => Promise<void>) | undefined
}

/** Where `local/` leads. */
export type PushTarget = { readonly name: string; readonly open: () => Promise<PushScene> }

const hosted: PushTarget = { name: 'a hosted repository', open: setPushScene }

/** What every client that pushes must be able to do. */
export function describePusher(
  { client, keepsBytes, push, pushIndex }: Pusher,
  target: PushTarget = hosted,
): void {
  describe(`${client.name}, to ${target.name}`, () => {
    let scene: PushScene
    let source: string
    let images: { readonly image: Image; readonly index: Image }
    before(async () => {
      scene = await target.open()
      // In lower case: podman makes a name of it.
      source = join(tmpdir(), `berth-source-${randomUUID()}`)
      images = await makeImages()
      await writeLayout(join(source, 'image'), 'image', images.image)
      await writeLayout(join(source, 'index'), 'index', images.index)
    })
    after(async () => {
      await scene?.close()
      await attempt(['rm', '-rf', source])
    })

    const pushAs = (what: 'image' | 'index', name: string, login: Login) =>
      within(scene.berth, (directory) => {
        const by = what === 'index' ? (pushIndex ?? push) : push
        const layout = join(source, what)
        return by({ host: scene.berth.host, layout, tag: what, name, login, directory })
      })

    const pullBack = (name: string, wanted: readonly Image[]) =>
      within(scene.berth, async (directory) => {
        const puller = await client.start(scene.berth.host, directory)
        try {
          await puller.pull(name, pusher)
          await puller.check(name, wanted)
        } finally {
          await puller.close()
        }
      })

    const served = (name: string, tag: string) =>
      servedImage({ host: scene.berth.host, name, login: pusher }, tag)

    test('nothing is pushed with a wrong password, or without the right to push', async () => {
      const wrong = { ...pusher, password: 'wrong' }
      await assert.rejects(pushAs('image', 'local/team/denied:v1', wrong), /401|unauthorized/i)
      await assert.rejects(pushAs('image', 'local/team/denied:v1', puller), /denied|403/i)
      assert.equal(await scene.berth.metric('berth_upload_bytes_total'), 0)
    })

    test('an image is pushed, and pulled into an empty store', async () => {
      await pushAs('image', 'local/team/app:image', pusher)
      const image = await served('local/team/app', 'image')
      if (keepsBytes) assert.equal(image.digest, images.image.digest)
      assert.equal(image.blobs.length, images.image.blobs.length)
      await pullBack('local/team/app:image', [image])
    })

    // Others have to compress a layer before they know its digest.
    if (keepsBytes)
      test('the same image is pushed again without its bytes', async () => {
        const before = await scene.berth.metric('berth_upload_bytes_total')
        await pushAs('image', 'local/team/app:again', pusher)
        const sent = (await scene.berth.metric('berth_upload_bytes_total')) - before
        const [image, again] = [
          await served('local/team/app', 'image'),
          await served('local/team/app', 'again'),
        ]
        // Without its layers: the config is small, and some push it each time.
        assert.ok(sent < 20_000, `${sent} bytes were sent`)
        assert.deepEqual(
          again.blobs.map(({ digest }) => digest),
          image.blobs.map(({ digest }) => digest),
        )
      })

    if (pushIndex !== undefined)
      test('an index is pushed with all its images, and pulled', async () => {
        await pushAs('index', 'local/team/app:index', pusher)
        const index = await served('local/team/app', 'index')
        if (keepsBytes) assert.equal(index.digest, images.index.digest)
        assert.equal(index.children.length, images.index.children.length)
        const children = client.pullsAll ? index.children : index.children.slice(0, 1)
        await pullBack('local/team/app:index', [index, ...children])
      })
  })
}

/** In a directory of its own; a failure comes with the end of Berth's log. */
async function within(
  berth: BerthProcess,
  use: (directory: string) => Promise<void>,
): Promise<void> {
  const directory = await mkdtemp(join(tmpdir(), 'berth-client-'))
  await mkdir(join(directory, 'tmp'))
  try {
    await use(directory)
  } catch (cause) {
    const reason = cause instanceof Error ? cause.message : String(cause)
    throw new Error(`${reason}\nThe end of Berth's log:\n${berth.lastWords()}`, { cause })
  } finally {
    await attempt(['rm', '-rf', '--one-file-system', directory])
  }
}

async function makeImages() {
  const [large, small, tiny] = await Promise.all([
    makeLayer('large', 12 * 1024 * 1024),
    makeLayer('small', 200 * 1024),
    makeLayer('tiny', 1),
  ])
  const index = makeIndex([
    makeLayeredImage({ layers: [small], architecture: 'amd64' }),
    makeLayeredImage({ layers: [small, tiny], architecture: 'arm64' }),
  ])
  return { image: makeLayeredImage({ layers: [large, small] }), index }
}
