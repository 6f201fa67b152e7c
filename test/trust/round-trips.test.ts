import assert from 'node:assert/strict'
import { rm, writeFile } from 'node:fs/promises'
import { dirname, join } from 'node:path'
import { test } from 'node:test'
import fc from 'fast-check'
import { parseMark, withMark } from '../../src/trust/mark.ts'
import {
  addTo,
  containerdConfig,
  type Entries,
  makeRoot,
  picture,
  trustFor,
} from '../support/node-root.ts'

test('a mark says what was put into it, and whether the text is still the same', () => {
  fc.assert(
    fc.property(fc.string(), fc.nat(99), fc.string({ minLength: 1 }), (body, created, more) => {
      const text = withMark(body, { owner: 'a/b', created: created })
      assert.deepEqual(parseMark(text), { owner: 'a/b', created, body, intact: true })
      assert.equal(parseMark(text + more)?.intact, false)
      assert.equal(parseMark(body), undefined)
    }),
  )
})

const certificates = 'etc/containerd/certs.d'
/** Where our files go, and the directories that they are in. */
const places = [
  `${certificates}/localhost_30026_/hosts.toml`,
  `${certificates}/localhost:30026/hosts.toml`,
  `${certificates}/docker.io/hosts.toml`,
  `${certificates}/quay.io/hosts.toml`,
  `${certificates}/_default/hosts.toml`,
  'etc/containers/registries.conf.d/berth-localhost_30026.conf',
  'etc/containers/registries.conf.d/000-others.conf',
  'etc/docker/certs.d/localhost:30026/ca.crt',
]

/** What somebody may have there: nothing, an empty directory, a text, a link, a directory. */
const entry = fc.oneof(
  fc.constant(undefined),
  fc.constant('parent' as const),
  fc.string({ unit: 'binary' }),
  fc.constant('server = "https://theirs"\n[host."https://m"]\nskip_verify = true\n'),
  fc.constantFrom('/etc/passwd', '../nowhere', 'hosts.toml').map((link) => ({ link })),
  fc.constant(null),
)

const node = fc.tuple(...places.map(() => entry)).map((entries) => {
  const found: Record<string, Entries[string]> = {}
  for (const [at, value] of entries.entries()) {
    const place = places[at] ?? ''
    if (value === 'parent') found[dirname(place)] = null
    else if (value !== undefined) found[place] = value
  }
  return found
})

const wish = fc.record({
  registry: fc.constantFrom('localhost:30026', 'localhost:5000', 'registry.example'),
  mirrors: fc.subarray(['docker.io', 'quay.io']),
  /** Which of our files somebody removes after it. */
  removes: fc.nat(20),
})

test('whatever was there is there again, after any wishes one after the other', async (t) => {
  await fc.assert(
    fc.asyncProperty(
      node,
      fc.array(wish, { minLength: 1, maxLength: 3 }),
      fc.boolean(),
      async (entries, wishes, isOneProcess) => {
        const root = await makeRoot(t, {
          'etc/containerd/config.toml': containerdConfig.set,
          'etc/passwd': 'canary',
          'usr/bin/podman': '',
          'usr/bin/dockerd': '',
        })
        await addTo(root, entries)
        const before = await picture(root)
        for (const { removes, ...options } of wishes) {
          const { trust } = trustFor(root, options)
          const { ready, runtimes } = await trust.apply()
          assert.equal(ready, true, JSON.stringify(runtimes))
          const files = runtimes.flatMap((runtime) => runtime.files)
          const victim = files[removes]
          if (victim !== undefined && isOneProcess) {
            await rm(join(root, victim.path))
            await trust.apply()
          }
        }
        assert.deepEqual(await trustFor(root).trust.undo(), [])
        assert.deepEqual(await picture(root), before)
        await rm(root, { recursive: true })
      },
    ),
    { numRuns: 40 },
  )
})

test('what somebody writes in our place at any time is never lost', async (t) => {
  await fc.assert(
    fc.asyncProperty(fc.nat(3), fc.boolean(), async (after, isEdit) => {
      const root = await makeRoot(t, { 'etc/containerd/config.toml': containerdConfig.set })
      const file = join(root, places[0] ?? '')
      const theirs = isEdit ? '# theirs\n' : 'server = "http://theirs"\n'
      const { trust } = trustFor(root)
      for (let times = 0; times < 4; times += 1) {
        if (times === after) {
          await addTo(root, { [`${dirname(places[0] ?? '')}`]: null })
          await writeFile(file, theirs)
        }
        await trust.apply()
      }
      await trust.undo()
      assert.ok(Object.values(await picture(root)).some((text) => text.endsWith(`: ${theirs}`)))
    }),
    { numRuns: 20 },
  )
})
