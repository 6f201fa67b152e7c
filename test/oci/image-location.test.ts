import assert from 'node:assert/strict'
import { suite, test } from 'node:test'
import fc from 'fast-check'
import { parseImageName, parseServerUrl } from '../../src/oci/image-location.ts'

const label = fc.stringMatching(/^[a-z0-9]([a-z0-9-]{0,10}[a-z0-9])?$/)
const host = fc
  .tuple(
    fc.array(label, { minLength: 2, maxLength: 4 }),
    fc.option(fc.integer({ min: 1, max: 65_535 })),
  )
  .map(([labels, port]) => labels.join('.') + (port === null ? '' : `:${port}`))
const repository = fc.array(label, { minLength: 2, maxLength: 5 }).map((parts) => parts.join('/'))

suite('parseServerUrl', () => {
  test('returns the host of each form of a server URL', () => {
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
          assert.deepEqual(parseServerUrl(text), { host: name }, text)
      }),
    )
  })

  test('accepts an address, a port and a host without dots', () => {
    for (const name of ['localhost:30026', 'registry', '[::1]:5000', '127.0.0.1', 'a_b:80'])
      assert.deepEqual(parseServerUrl(name), { host: name })
  })

  test('rejects a text without a host, or with user info', () => {
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
      assert.equal(parseServerUrl(text), undefined, text)
  })

  test('never throws, and returns no characters that a host cannot have', () => {
    fc.assert(
      fc.property(fc.string(), (text) =>
        assert.doesNotMatch(parseServerUrl(text)?.host ?? '', /[\s/@*]/),
      ),
    )
  })
})

suite('parseImageName', () => {
  test('returns host and repository, without tag and digest', () => {
    fc.assert(
      fc.property(host, repository, (where, what) => {
        const digest = `sha256:${'0'.repeat(64)}`
        for (const rest of ['', ':v1', `@${digest}`, `:v1@${digest}`])
          assert.deepEqual(parseImageName(`${where}/${what}${rest}`), {
            host: where,
            repository: what,
          })
      }),
    )
  })

  test('returns docker.io for a name without a host', () => {
    const readings = {
      busybox: 'library/busybox',
      'busybox:1.36': 'library/busybox',
      'localhost:5000': 'library/localhost',
      'team/app': 'team/app',
      'docker.io/busybox': 'library/busybox',
      'docker.io/library/busybox:1': 'library/busybox',
    }
    for (const [text, wanted] of Object.entries(readings))
      assert.deepEqual(parseImageName(text), { host: 'docker.io', repository: wanted }, text)
    const other = { host: 'index.docker.io', repository: 'library/busybox' }
    assert.deepEqual(parseImageName('index.docker.io/busybox'), other)
  })

  test('takes the first part as a host if it is localhost, or has a port or a capital letter', () => {
    const place = (name: string) => ({ host: name, repository: 'app' })
    assert.deepEqual(parseImageName('localhost/app'), place('localhost'))
    assert.deepEqual(parseImageName('registry:5000/app'), place('registry:5000'))
    assert.deepEqual(parseImageName('Registry/app'), place('registry'))
    assert.deepEqual(parseImageName('[::1]:30026/app'), place('[::1]:30026'))
  })

  test('rejects schemes, user info, stars and invalid repository names', () => {
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
    for (const text of wrong) assert.equal(parseImageName(text), undefined, text)
  })

  test('never throws', () => {
    fc.assert(fc.property(fc.string(), (text) => void parseImageName(text)))
  })
})
