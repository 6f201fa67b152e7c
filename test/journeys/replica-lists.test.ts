import assert from 'node:assert/strict'
import { readFile } from 'node:fs/promises'
import { after, afterEach, before, test } from 'node:test'
import { mediaTypes } from '../../src/oci/manifest.ts'
import { createSignatures } from '../../src/replicas/signature.ts'
import {
  type Berth,
  checkInvariants,
  eventually,
  removeBerth,
  startBerth,
} from '../support/berth.ts'
import { codeOf, get } from '../support/client.ts'
import { makeImage } from '../support/images.ts'
import { createReplicaGroup, type ReplicaGroup } from '../support/replicas.ts'
import { useUpstream } from '../support/use-upstream.ts'

const upstream = await useUpstream()
/** The index of a replica that is known and does not run. */
const dead = 3
const subject = makeImage().digest
let group: ReplicaGroup
let berths: readonly Berth[]

before(async () => {
  group = await createReplicaGroup(4)
  berths = await Promise.all(
    group.addresses.slice(0, dead).map((_, at) =>
      startBerth({
        config: {
          upstreams: [{ prefix: 'up', url: upstream.url }],
          replicas: group.config(at),
          // On a busy machine, a client waits rather than getting 503.
          limits: { answerTime: '2m' },
        },
      }),
    ),
  )
  for (const berth of berths)
    await eventually('it knows all', async () => (await berth.metric('berth_replicas')) === 4)
})
after(async () => {
  for (const berth of berths) {
    await checkInvariants(berth)
    await removeBerth(berth)
  }
  await group.remove()
})
afterEach(() => upstream.behave())

const kinds = {
  tags: { path: 'tags/list', found: ['1', '2'] },
  referrers: { path: `referrers/${subject}`, found: [{ digest: makeImage().digest, size: 5 }] },
} as const
type Kind = keyof typeof kinds

/** A repository whose lists this replica requests for all. */
function nameOwnedBy(owner: number, name: string): string {
  return group.ownerOf(`up/${name} lists`) === owner ? name : nameOwnedBy(owner, `${name}x`)
}

function serve(name: string): void {
  for (const tag of kinds.tags.found) upstream.put(name, tag, makeImage())
  const manifests = kinds.referrers.found
  upstream.on(`/v2/${name}/${kinds.referrers.path}`, ({ reply }) =>
    reply(200, { 'content-type': mediaTypes.ociIndex }, JSON.stringify({ manifests })),
  )
}

const listAt = (at: number, name: string, kind: Kind) =>
  get(`${(berths[at] as Berth).url}/v2/up/${name}/${kinds[kind].path}`)
const asked = (name: string, kind: Kind) => upstream.count(`/v2/${name}/${kinds[kind].path}`)

async function assertListed(at: number, name: string, kind: Kind): Promise<void> {
  const { status, body } = await listAt(at, name, kind)
  const list = JSON.parse(body.toString()) as Readonly<Record<string, unknown>>
  assert.deepEqual([status, list['tags'] ?? list['manifests']], [200, kinds[kind].found])
}

for (const kind of ['tags', 'referrers'] as const) {
  test(`a list of ${kind} is one GET of the upstream for the clients of all replicas`, async () => {
    for (const owner of [0, 1, 2, dead]) {
      const name = nameOwnedBy(owner, `p/${kind}-${owner}`)
      serve(name)
      await Promise.all([0, 1, 2, 0, 1, 2].map((at) => assertListed(at, name, kind)))
      assert.equal(asked(name, kind), 1, `owner ${owner}`)
    }
  })

  test(`what the upstream answers instead of a list of ${kind} is the same at all replicas`, async () => {
    const error = (code: string) => JSON.stringify({ errors: [{ code, message: 'no' }] })
    for (const [number, [status, code]] of (
      [
        [403, 'DENIED'],
        [500, 'UNKNOWN'],
      ] as const
    ).entries()) {
      const name = nameOwnedBy(0, `p/error-${kind}-${number}`)
      upstream.on(`/v2/${name}/`, ({ reply }) => reply(status, {}, error(code)))
      const replies = await Promise.all([0, 1, 2].map((at) => listAt(at, name, kind)))
      const [first] = replies
      assert.ok(first !== undefined && first.status >= 400)
      for (const reply of replies)
        assert.deepEqual([reply.status, codeOf(reply)], [first.status, codeOf(first)])
    }
  })
}

test('a replica that has a list from another one knows how old it is', async () => {
  const name = nameOwnedBy(0, 'p/age')
  serve(name)
  const signatures = createSignatures(await readFile(group.secretFile, 'utf8'), Date.now)
  const ageAt = async (at: number): Promise<number> => {
    const target = `/lists/up/${name}?upstream=${encodeURIComponent(upstream.url)}&digest=${encodeURIComponent(subject)}`
    const authorization = signatures.sign({ method: 'GET', target, writer: '' })
    const { body } = await get(group.urlOf(at) + target, { headers: { authorization } })
    return (JSON.parse(body.toString()) as { age: number }).age
  }
  await assertListed(0, name, 'referrers')
  await eventually('it is older', async () => (await ageAt(0)) > 300)
  await assertListed(1, name, 'referrers')
  assert.ok((await ageAt(1)) > 300)
})

test('a list that is too long to be shared is requested by each replica', async () => {
  const name = nameOwnedBy(0, 'p/long')
  const annotations = { text: 'x'.repeat(100_000) }
  const manifests = [{ digest: subject, size: 5, annotations }]
  upstream.on(`/v2/${name}/${kinds.referrers.path}`, ({ reply }) =>
    reply(200, { 'content-type': mediaTypes.ociIndex }, JSON.stringify({ manifests })),
  )
  for (const at of [1, 0, 2]) {
    const { body } = await listAt(at, name, 'referrers')
    assert.deepEqual((JSON.parse(body.toString()) as { manifests: unknown }).manifests, manifests)
  }
  // The owner has it in memory when it is asked by the others.
  assert.equal(asked(name, 'referrers'), 3)
})
