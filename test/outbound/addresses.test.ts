import assert from 'node:assert/strict'
import { test } from 'node:test'
import fc from 'fast-check'
import { isPrivateAddress, isPublicAddress, lookupAllowed } from '../../src/outbound/addresses.ts'

const inward = [
  '127.0.0.1',
  '127.255.255.254',
  '0.0.0.0',
  '10.1.2.3',
  '100.64.0.1',
  '169.254.169.254',
  '172.16.0.1',
  '172.31.255.255',
  '192.0.0.1',
  '192.168.1.1',
  '224.0.0.1',
  '240.0.0.1',
  '255.255.255.255',
  '::',
  '::1',
  '::ffff:127.0.0.1',
  '::ffff:a9fe:a9fe',
  '::127.0.0.1',
  'fc00::1',
  'fd00:ec2::254',
  'fe80::1',
  'fe80::1%eth0',
  'fec0::1',
  'ff02::1',
  '64:ff9b::7f00:1',
  '64:ff9b:1::7f00:1',
  '2002:7f00:1::',
  '2001:0:4136:e378:8000:63bf:3fff:fdd2',
]

for (const address of inward)
  test(`${address} is not public (U50)`, () => assert.equal(isPublicAddress(address), false))

test('addresses of the internet are public', () => {
  for (const address of ['8.8.8.8', '142.250.1.82', '172.15.0.1', '172.32.0.1', '2607:f8b0::52'])
    assert.equal(isPublicAddress(address), true, address)
})

test('addresses of company networks are private (C188)', () => {
  for (const address of [
    '10.1.2.3',
    '172.31.0.1',
    '192.168.1.1',
    '100.64.0.1',
    'fd12::1',
    '::ffff:10.0.0.1',
  ])
    assert.equal(isPrivateAddress(address), true, address)
  for (const address of ['127.0.0.1', '169.254.1.1', '::1', 'fe80::1', '8.8.8.8'])
    assert.equal(isPrivateAddress(address), false, address)
})

test('metadata services are neither public nor private, wherever a cloud has put them', () => {
  for (const address of [
    '169.254.169.254',
    'fd00:ec2::254',
    'fd20:ce::254',
    '168.63.129.16',
    '100.100.100.200',
  ]) {
    assert.equal(isPublicAddress(address), false, address)
    assert.equal(isPrivateAddress(address), false, address)
  }
})

test('an address behind NAT64 is judged by the IPv4 address in it (C188)', () => {
  for (const prefix of ['64:ff9b::', '64:ff9b:1::', '64:ff9b:1:fffe::']) {
    assert.equal(isPublicAddress(`${prefix}8.8.8.8`), true, prefix)
    assert.equal(isPrivateAddress(`${prefix}10.0.0.1`), true, prefix)
    for (const inward of ['127.0.0.1', '169.254.169.254', '168.63.129.16'])
      assert.equal(isPublicAddress(prefix + inward) || isPrivateAddress(prefix + inward), false)
  }
  // 169.254.169.254 in a prefix of 64, 56 and 48 bits, with a public address in the last four bytes.
  for (const hidden of [
    '64:ff9b:1::a9:fea9:fe08:808',
    '64:ff9b:1:a9:fe:a9fe:808:808',
    '64:ff9b:1:a9fe:a9:fe08:808:808',
  ])
    assert.equal(isPublicAddress(hidden), false, hidden)
})

test('what is no address is not public, and does not throw', () => {
  fc.assert(fc.property(fc.string(), (text) => typeof isPublicAddress(text) === 'boolean'))
  for (const text of ['', 'localhost', '1', '2130706433', '0x7f.1', '127.1'])
    assert.equal(isPublicAddress(text), false, text)
})

type Found = Parameters<Parameters<ReturnType<typeof lookupAllowed>>[2]>

function find(hostname: string, all: boolean): Promise<Found> {
  return new Promise((resolve) =>
    lookupAllowed('public')(hostname, { all }, (...found: Found) => resolve(found)),
  )
}

test('a name that leads inwards is not connected to, whatever form of answer is asked for (U50)', async () => {
  for (const all of [true, false]) {
    const [error] = await find('localhost', all)
    assert.match(error?.message ?? '', /localhost has no public address/)
  }
})

test('a public address passes, in the form that was asked for', async () => {
  assert.deepEqual(await find('8.8.8.8', false), [null, '8.8.8.8', 4])
  const [error, addresses] = await find('8.8.8.8', true)
  assert.equal(error, null)
  assert.deepEqual(addresses, [{ address: '8.8.8.8', family: 4 }])
})

test('a name that does not resolve is told by its own error', async () => {
  const [error] = await find('nowhere.invalid', true)
  assert.match(error?.code ?? '', /^(ENOTFOUND|EAI_AGAIN)$/)
})

const names: Readonly<Record<string, readonly string[]>> = {
  'registry.corp.test': ['10.1.1.1'],
  'registry.public.test': ['8.8.8.8'],
  'token.corp.test': ['10.1.1.2'],
  'both.corp.test': ['127.0.0.1', '10.1.1.3', '8.8.4.4'],
  'meta.corp.test': ['169.254.169.254'],
}

/** What may be connected to of `host`, for a sibling of an upstream at `own`. */
function siblingsOf(own: string, host: string): Promise<readonly string[] | string> {
  const resolve = async (name: string) =>
    (names[name] ?? []).map((address) => ({ address, family: 4 }))
  return new Promise((done) =>
    lookupAllowed({ privateLike: own }, resolve)(host, { all: true }, (error, found) =>
      done(
        error?.message ??
          [found].flat().map((each) => (typeof each === 'string' ? each : each.address)),
      ),
    ),
  )
}

test('a sibling may be at a private address where the upstream is, and nowhere else inwards (C188)', async () => {
  for (const own of ['registry.corp.test', '10.0.0.1', '[fd12::1]']) {
    assert.deepEqual(await siblingsOf(own, 'token.corp.test'), ['10.1.1.2'], own)
    assert.deepEqual(await siblingsOf(own, 'both.corp.test'), ['10.1.1.3', '8.8.4.4'], own)
    assert.match(String(await siblingsOf(own, 'meta.corp.test')), /only 169\.254\.169\.254/)
  }
  for (const own of ['registry.public.test', '8.8.8.8', '127.0.0.1', 'unknown.test']) {
    assert.match(String(await siblingsOf(own, 'token.corp.test')), /no public address, only 10\.1/)
    assert.deepEqual(await siblingsOf(own, 'both.corp.test'), ['8.8.4.4'], own)
  }
})
