import assert from 'node:assert/strict'
import { test } from 'node:test'
import fc from 'fast-check'
import { costOf, parseHtpasswd } from '../../src/auth/htpasswd.ts'

const salted = 'CCCCCCCCCCCCCCCCCCCCC.E5YPO9kmyuRGyh0XouQYb4YMJKvyOeW'
const hash = (version = '2y', cost = '05') => `$${version}$${cost}$${salted}`

test('each line has a user and a bcrypt hash of any of the three versions', () => {
  const users = parseHtpasswd(`a:${hash('2a')}\nb:${hash('2b', '12')}\r\nc:${hash('2y')}\n`)
  assert.deepEqual([...users.keys()], ['a', 'b', 'c'])
  assert.deepEqual([...users.values()].flat().map(costOf), [5, 12, 5])
})

test('comments, empty lines and trailing spaces are ignored', () => {
  const users = parseHtpasswd(`# users\n\n  \na:${hash()}  \n\n#b:${hash()}\n`)
  assert.deepEqual([...users], [['a', [hash()]]])
})

test('a user may have at most two lines, for the old and the new password', () => {
  const [one, two, three] = ['2a', '2b', '2y'].map((version) => `a:${hash(version)}`)
  assert.deepEqual(parseHtpasswd(`${one}\n${two}`).get('a'), [hash('2a'), hash('2b')])
  assert.throws(
    () => parseHtpasswd(`${one}\n${two}\n${three}`),
    /line 3 is line 3 of its user; the maximum is 2/,
  )
})

test('the error message for another hash names the line and does not contain the hash (A105)', () => {
  const others = [
    '{SHA}W6ph5Mm5Pz8GgiULbPgzG37mj9g=',
    '$apr1$HvnLmOvD$XYJyNFs3ifA6nOXNVT5b40',
    '$1$abcdefgh$N4hxwqeT5DGJKEVO7VqZB.',
    '$5$rounds=5000$salt$hash',
    '$6$salt$hash',
    'rqXexS6ZhobKA',
    'plaintext',
    '',
    hash('2x'),
    hash('2'),
    hash().slice(0, -1),
    `${hash()}A`,
    hash('2y', '5'),
    hash('2y', '03'),
    hash('2y', '32'),
    hash('2y', '99'),
    `$2y$05$${'C'.repeat(22)}E5YPO9kmyuRGyh0XouQYb4YMJKvyOeW`,
  ]
  for (const other of others) {
    const message = /^Error: htpasswd line 2 is not "user:bcrypt-hash"; create one with: berth/
    assert.throws(
      () => parseHtpasswd(`a:${hash()}\nb:${other}\n`),
      (error) => {
        assert.match(String(error), message, other)
        return other === '' || !String(error).includes(other)
      },
      other,
    )
  }
})

test('a hash that takes too long to verify is rejected, and the message names its line', () => {
  assert.equal(parseHtpasswd(`a:${hash('2y', '17')}`).size, 1)
  for (const cost of ['18', '31'])
    assert.throws(
      () => parseHtpasswd(`a:${hash()}\nb:${hash('2y', cost)}\n`),
      new RegExp(`^Error: htpasswd line 2 has a hash of cost ${cost}; the maximum is 17`),
    )
})

test('a line without user or hash is rejected', () => {
  for (const line of [`:${hash()}`, hash(), 'a', 'a b c', '\0', `a:${hash()}:more`])
    assert.throws(() => parseHtpasswd(line), /htpasswd line 1/)
})

test('a file without users is rejected as a partial write (A104)', () => {
  for (const text of ['', '\n', '# only a comment\n', '\r\n\r\n'])
    assert.throws(() => parseHtpasswd(text), /has no users/)
})

test('a truncated file is rejected or has only users of the whole file', () => {
  const whole = `a:${hash('2a')}\nb:${hash('2b')}\nc:${hash('2y')}\n`
  const users = parseHtpasswd(whole)
  fc.assert(
    fc.property(fc.nat(whole.length), (length) => {
      try {
        for (const [user, found] of parseHtpasswd(whole.slice(0, length)))
          assert.deepEqual(found, users.get(user))
      } catch (error) {
        assert.match(String(error), /^Error: (htpasswd line \d|the htpasswd file has no users)/)
      }
    }),
  )
})

test('any file has users or is rejected with an error', () => {
  fc.assert(
    fc.property(fc.oneof(fc.string(), fc.stringMatching(/^[a:$2y\n]{0,80}$/)), (text) => {
      try {
        return parseHtpasswd(text).size > 0
      } catch (error) {
        return error instanceof Error && error.message.includes('htpasswd')
      }
    }),
  )
})
