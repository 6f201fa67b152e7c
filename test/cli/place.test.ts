import assert from 'node:assert/strict'
import { suite, test } from 'node:test'
import fc from 'fast-check'
import { parseImage, parseServer } from '../../src/cli/place.ts'

const label = fc.stringMatching(/^[a-z0-9]([a-z0-9-]{0,10}[a-z0-9])?$/)
const host = fc
  .tuple(
    fc.array(label, { minLength: 2, maxLength: 4 }),
    fc.option(fc.integer({ min: 1, max: 65_535 })),
  )
  .map(([labels, port]) => labels.join('.') + (port === null ? '' : `:${port}`))
const repository = fc.array(label, { minLength: 2, maxLength: 5 }).map((parts) => parts.join('/'))

suite("a server's name", () => {
  test('is its host, however it is written', () => {
    fc.assert(
      fc.property(host, fc.webPath(), (name, path) => {
        const written = [
          name,
          `${name}/`,
          `https://${name}`,
          `http://${name}/`,
          `https://${name}/v2/`,
        ]
        for (const text of [...written, `https://${name}/${path}`, ` ${name.toUpperCase()}\n`])
          assert.deepEqual(parseServer(text), { host: name }, text)
      }),
    )
  })

  test('has an address, a port or one word', () => {
    for (const name of ['localhost:30026', 'registry', '[::1]:5000', '127.0.0.1', 'a_b:80'])
      assert.deepEqual(parseServer(name), { host: name })
  })

  test('is none without a host, or with a user', () => {
    for (const text of [
      '',
      ' ',
      '/v2/',
      'https://',
      'https:///x',
      'u:p@host',
      'ftp://host',
      '*.io',
    ])
      assert.equal(parseServer(text), undefined, text)
  })

  test('never throws, and never answers with what no host has', () => {
    fc.assert(
      fc.property(fc.string(), (text) =>
        assert.doesNotMatch(parseServer(text)?.host ?? '', /[\s/@*]/),
      ),
    )
  })
})

suite("an image's name", () => {
  test('is a host and a repository, whatever stands behind them', () => {
    fc.assert(
      fc.property(host, repository, (where, what) => {
        const digest = `sha256:${'0'.repeat(64)}`
        for (const rest of ['', ':v1', `@${digest}`, `:v1@${digest}`])
          assert.deepEqual(parseImage(`${where}/${what}${rest}`), { host: where, repository: what })
      }),
    )
  })

  test("is Docker Hub's without a host", () => {
    const readings = {
      busybox: 'library/busybox',
      'busybox:1.36': 'library/busybox',
      'localhost:5000': 'library/localhost',
      'team/app': 'team/app',
      'docker.io/busybox': 'library/busybox',
      'docker.io/library/busybox:1': 'library/busybox',
    }
    for (const [text, wanted] of Object.entries(readings))
      assert.deepEqual(parseImage(text), { host: 'docker.io', repository: wanted }, text)
    const other = { host: 'index.docker.io', repository: 'library/busybox' }
    assert.deepEqual(parseImage('index.docker.io/busybox'), other)
  })

  test('has a host of one word if that is localhost, has a port or a capital', () => {
    const place = (name: string) => ({ host: name, repository: 'app' })
    assert.deepEqual(parseImage('localhost/app'), place('localhost'))
    assert.deepEqual(parseImage('registry:5000/app'), place('registry:5000'))
    assert.deepEqual(parseImage('Registry/app'), place('registry'))
    assert.deepEqual(parseImage('[::1]:30026/app'), place('[::1]:30026'))
  })

  test('is none with a scheme, a user, a star, or a name that no repository has', () => {
    const wrong = [
      '',
      '/',
      'https://h.io/app',
      'u@h.io/app',
      '*.h.io/app',
      'h.io/',
      'h.io/App',
      '../x',
    ]
    for (const text of wrong) assert.equal(parseImage(text), undefined, text)
  })

  test('never throws', () => {
    fc.assert(fc.property(fc.string(), (text) => void parseImage(text)))
  })
})
