import assert from 'node:assert/strict'
import { test } from 'node:test'
import fc from 'fast-check'
import { isPublicAddress, lookupPublic } from '../../src/remote/addresses.ts'

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

test('what is no address is not public, and does not throw', () => {
  fc.assert(fc.property(fc.string(), (text) => typeof isPublicAddress(text) === 'boolean'))
  for (const text of ['', 'localhost', '1', '2130706433', '0x7f.1', '127.1'])
    assert.equal(isPublicAddress(text), false, text)
})

type Found = Parameters<Parameters<typeof lookupPublic>[2]>

function find(hostname: string, all: boolean): Promise<Found> {
  return new Promise((resolve) =>
    lookupPublic(hostname, { all }, (...found: Found) => resolve(found)),
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
