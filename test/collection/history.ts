import assert from 'node:assert/strict'
import type { Step } from '../../src/collection/collection.ts'
import { isRegistryError } from '../../src/oci/errors.ts'
import { parseRepositoryName, type Tag } from '../../src/oci/reference.ts'
import type { Repository, WritableRepository } from '../../src/registry/registry.ts'
import { pushBlob, pushImage, putManifest } from '../support/hosted-registry.ts'
import { family, type Image } from '../support/images.ts'
import type { Future } from './future.ts'
import { createObligations, type Obligations } from './obligations.ts'
import { hour, minute, type Scene } from './scene.ts'
import type { Random, World } from './world.ts'

const repositories = ['local/a', 'local/b'] as const
export const tags = ['pr', 'keep', 'latest'] as const
/** What a client expects to be refused. */
const refusals = ['MANIFEST_BLOB_UNKNOWN', 'UNSUPPORTED', 'MANIFEST_UNKNOWN'] as const

type State = {
  scene: Scene
  readonly world: World
  readonly random: Random
  readonly future: Future
  readonly obligations: Obligations
  /** How often runs took which step. */
  readonly steps: Map<string, number>
}

type Act = (state: State) => Promise<void>

/** Acts of clients that may happen beside a collection. */
const clientActs = {
  pushImage: async ({ scene, world, random, obligations }) => {
    const [repository, image, tag] = [
      random.pick(repositories),
      random.pick(world.images),
      random.pick(tags),
    ]
    await pushImage(scene.open(repository), image, tag)
    obligations.tags.set(`${repository}:${tag}`, image)
    for (const each of family(image)) {
      obligations.leaseImage(repository, each)
      for (const { digest } of each.blobs) obligations.leaseBlob(repository, digest)
    }
  },
  /** As a client does that knows from somewhere that the rest is there. */
  putManifest: async ({ scene, world, random, obligations }) => {
    const [repository, image] = [random.pick(repositories), random.pick(world.images)]
    const isTagged = random.next() < 0.7
    const tag = random.pick(tags)
    if (image.children.length > 0 && !(await hasChildren(scene, repository, image))) return
    const isDone = await accepted(() =>
      putManifest(scene.open(repository), image, isTagged ? [tag] : []),
    )
    if (!isDone) return
    if (isTagged) obligations.tags.set(`${repository}:${tag}`, image)
    obligations.leaseImage(repository, image)
  },
  pushBlob: async ({ scene, world, random, obligations }) => {
    const [repository, blob] = [random.pick(repositories), random.pick(world.blobs)]
    await pushBlob(scene.open(repository), blob)
    obligations.leaseBlob(repository, blob.digest)
  },
  headBlob: async ({ scene, world, random, obligations }) => {
    const [repository, { digest }] = [random.pick(repositories), random.pick(world.blobs)]
    const found = await scene.open(repository).statBlob(digest)
    if (found !== undefined) obligations.leaseBlob(repository, digest)
  },
  mount: async ({ scene, world, random, obligations }) => {
    const [repository, { digest }] = [random.pick(repositories), random.pick(world.blobs)]
    const from = parseRepositoryName(random.pick(repositories))
    const request = { digest, from, mayPull: () => true }
    if (await scene.open(repository).mount(request)) obligations.leaseBlob(repository, digest)
  },
} satisfies Record<string, Act>

const otherActs = {
  pull: async ({ scene, obligations, random }) => {
    if (obligations.tags.size === 0) return
    const [key, image] = random.pick([...obligations.tags])
    const [repository = '', tag = ''] = key.split(':')
    await pullAll(scene.open(repository), { tag: tag as Tag }, image)
    obligations.leaseImage(repository, image)
  },
  deleteTag: async ({ scene, random, obligations }) => {
    const [repository, tag] = [random.pick(repositories), random.pick(tags)]
    await scene.open(repository).deleteTag(tag as Tag)
    obligations.tags.delete(`${repository}:${tag}`)
  },
  deleteManifest: async ({ scene, world, random, obligations }) => {
    const [repository, image] = [random.pick(repositories), random.pick(world.images)]
    const isDone = await accepted(() => scene.open(repository).deleteManifest(image.digest))
    if (isDone) obligations.releaseImage(repository, image)
  },
  deleteBlob: async ({ scene, world, random, obligations }) => {
    const [repository, { digest }] = [random.pick(repositories), random.pick(world.blobs)]
    const isDone = await accepted(() => scene.open(repository).deleteBlob(digest))
    if (isDone) obligations.releaseBlob(repository, digest)
  },
  collect: async (state) => {
    const { scene } = state
    tally(state, await scene.collect())
  },
  /** So that something becomes due. */
  collectLater: async (state) => {
    await otherActs.collect(state)
    state.future.advance(61 * minute)
    await otherActs.collect(state)
  },
  retain: async (state) => {
    const { scene, obligations } = state
    tally(state, await scene.retain())
    for (const [key, image] of obligations.tags) {
      const [repository = '', tag = ''] = key.split(':')
      const link = await scene.store.links.tag(parseRepositoryName(repository), tag as Tag)
      if (link !== undefined || tag !== 'pr') continue
      assert.ok(!obligations.isUsed(image), 'an image in use was deleted')
      const twin = obligations.tags.get(`${repository}:keep`)
      assert.notEqual(twin?.digest, image.digest, 'an image was deleted that a rule keeps')
      obligations.tags.delete(key)
    }
  },
  undo: async (state) => {
    const { scene, random } = state
    const runs = await scene.collector.runs()
    if (runs.length === 0) return
    tally(state, await scene.undo(random.pick(runs).run))
    await takeOverTags(state)
  },
  undoTag: async ({ scene, random, obligations, world }) => {
    const [repository, tag] = [random.pick(repositories), random.pick(tags)]
    const name = parseRepositoryName(repository)
    const result = await scene.collector.undoTag({ name, tag: tag as Tag })
    const image = world.images.find(({ digest }) => 'to' in result && digest === result.to)
    if (result.kind === 'undone' && image) obligations.tags.set(`${repository}:${tag}`, image)
  },
  use: async ({ scene, random, obligations }) => {
    if (obligations.tags.size === 0) return
    const [key, image] = random.pick([...obligations.tags])
    scene.inUse.digests.add(image.digest)
    obligations.use(key.split(':')[0] ?? '', image)
  },
  endUse: async ({ scene, world, obligations, random }) => {
    const image = random.pick(world.images)
    scene.inUse.digests.delete(image.digest)
    obligations.endUse(image)
  },
  wait: async ({ future, random }) => future.advance(random.pick([20, 61, 90, 250]) * minute),
  restart: async (state) => {
    state.scene = await state.scene.restart()
  },
  /** The database is lost, too. */
  loseIndex: async (state) => {
    state.scene = await state.scene.restart({ loseIndex: true })
  },
  clientsDuringCollection: async (state) => {
    await otherActs.collect(state)
    state.future.advance(61 * minute)
    // One that sets tags, so that it is known what a tag points to in the end.
    const first = state.random.pick([clientActs.pushImage, clientActs.putManifest])
    const acts = [clientActs.headBlob, clientActs.pushBlob, clientActs.mount]
    const others = Array.from({ length: 4 }, () => state.random.pick(acts))
    const during = [first, ...others].map((act) => () => act(state))
    // Some in between looks and removals, the others whenever they come.
    state.scene.barrier.afterLook = async () => during.pop()?.()
    const beside = during.splice(0, 3).map((act) => act())
    await Promise.all([otherActs.collect(state), ...beside])
    delete state.scene.barrier.afterLook
  },
  clientsDuringRetention: async (state) => {
    const some = [clientActs.headBlob, clientActs.pushBlob, clientActs.mount]
    await Promise.all([otherActs.retain(state), ...some.map((act) => act(state))])
  },
} satisfies Record<string, Act>

const weights: Readonly<Record<keyof typeof clientActs | keyof typeof otherActs, number>> = {
  pushImage: 3,
  putManifest: 8,
  pushBlob: 3,
  headBlob: 5,
  mount: 4,
  pull: 2,
  deleteTag: 5,
  deleteManifest: 8,
  deleteBlob: 2,
  collect: 6,
  collectLater: 8,
  retain: 3,
  undo: 3,
  undoTag: 2,
  use: 2,
  endUse: 2,
  wait: 10,
  restart: 1,
  loseIndex: 1,
  clientsDuringCollection: 10,
  clientsDuringRetention: 2,
}

const acts: Readonly<Record<string, Act>> = { ...clientActs, ...otherActs }
const urn = Object.entries(weights).flatMap(([name, weight]) =>
  Array.from({ length: weight }, () => name),
)

/** Random acts one after the other. After each, all obligations are kept. */
export async function runHistory(given: Omit<State, 'obligations'>, length: number): Promise<void> {
  const state: State = { ...given, obligations: createObligations(hour) }
  const log: string[] = []
  for (let at = 0; at < length; at += 1) {
    const name = state.random.pick(urn)
    log.push(name)
    try {
      await acts[name]?.(state)
      await state.obligations.check(state.scene)
    } catch (cause) {
      throw new Error(`step ${at} of ${log.join(', ')}`, { cause })
    }
  }
  for (const [key, image] of state.obligations.tags) {
    const [repository = '', tag = ''] = key.split(':')
    await pullAll(state.scene.open(repository), { tag: tag as Tag }, image)
  }
  await state.scene.close()
}

async function pullAll(
  repository: Repository & WritableRepository,
  reference: Parameters<Repository['manifest']>[0],
  image: Image,
): Promise<void> {
  const answer = await repository.manifest(reference)
  assert.equal(answer?.digest, image.digest)
  for (const { digest, bytes } of image.blobs) {
    const found = await repository.blob(digest)
    assert.ok(found, `${digest} cannot be pulled`)
    assert.equal(found.content.size, bytes.length)
    await found.content.close()
  }
  for (const child of image.children) await pullAll(repository, { digest: child.digest }, child)
}

async function hasChildren(scene: Scene, repository: string, image: Image): Promise<boolean> {
  const name = parseRepositoryName(repository)
  for (const child of family(image).slice(1))
    if (!(await scene.store.links.hasManifest(name, child.digest))) return false
  return true
}

async function accepted(act: () => Promise<unknown>): Promise<boolean> {
  try {
    return (await act()) !== false
  } catch (error) {
    if (isRegistryError(error, ...refusals)) return false
    throw error
  }
}

/** An undo brings tags back, and changes none. */
async function takeOverTags({ scene, obligations, world }: State): Promise<void> {
  for (const repository of repositories)
    for (const tag of tags) {
      const key = `${repository}:${tag}`
      const link = await scene.store.links.tag(parseRepositoryName(repository), tag as Tag)
      const image = world.images.find(({ digest }) => digest === link?.digest)
      if (image !== undefined && !obligations.tags.has(key)) obligations.tags.set(key, image)
    }
}

/** Counts the steps of a run, which must have been one to the end. */
function tally({ steps }: State, run: readonly Step[]): void {
  const end = run.at(-1)
  assert.ok(end?.step === 'end')
  assert.equal(end.outcome, 'done', end.reason)
  for (const { step } of run) steps.set(step, (steps.get(step) ?? 0) + 1)
}
