import assert from 'node:assert/strict'
import { test } from 'node:test'
import { digestOf } from '../../../src/oci/digest.ts'
import { createLeases } from '../../../src/registry/hosted/leases.ts'

const digest = (text: string) => digestOf(Buffer.from(text))

function leasesAfterTheStart(max = 100) {
  let time = 0
  const leases = createLeases({ life: 100, now: () => time, max })
  const at = (to: number) => {
    time = to
  }
  at(1000)
  return { leases, at }
}

test('after a start everything counts as leased', () => {
  let time = 0
  const leases = createLeases({ life: 100, now: () => time })
  assert.ok(leases.isFresh(digest('a')))
  time = 100
  assert.ok(!leases.isFresh(digest('a')))
})

test('a lease lasts from its last renewal', async () => {
  const { leases, at } = leasesAfterTheStart()
  await leases.renew(digest('a'))
  at(1090)
  await leases.renew(digest('a'))
  at(1189)
  assert.ok(leases.isFresh(digest('a')))
  assert.ok(!leases.isFresh(digest('b')))
  at(1190)
  assert.ok(!leases.isFresh(digest('a')))
})

test('a lease that there is no room for is never forgotten silently: until it ends all count as leased', async () => {
  const { leases, at } = leasesAfterTheStart(2)
  await leases.renew(digest('a'))
  at(1010)
  await leases.renew(digest('b'))
  await leases.renew(digest('c'))
  assert.ok(leases.isFresh(digest('a')))
  assert.ok(leases.isFresh(digest('other')))
  at(1100)
  assert.ok(!leases.isFresh(digest('a')))
  assert.ok(!leases.isFresh(digest('other')))
  assert.ok(leases.isFresh(digest('b')))
})

test('leases that have ended make room for others', async () => {
  const { leases, at } = leasesAfterTheStart(2)
  await leases.renew(digest('a'))
  await leases.renew(digest('b'))
  at(1100)
  await leases.renew(digest('c'))
  await leases.renew(digest('d'))
  assert.ok(!leases.isFresh(digest('a')))
  assert.ok(leases.isFresh(digest('c')))
})

test('what is leased cannot be claimed, and a client waits while it is', async () => {
  const { leases } = leasesAfterTheStart()
  await leases.renew(digest('a'))
  assert.equal(leases.claim(digest('a')), undefined)
  const release = leases.claim(digest('b'))
  assert.ok(release)
  let isRenewed = false
  const renewing = leases.renew(digest('b')).then(() => {
    isRenewed = true
  })
  await leases.renew(digest('c'))
  assert.ok(!isRenewed)
  release()
  await renewing
  assert.equal(leases.claim(digest('b')), undefined)
})
