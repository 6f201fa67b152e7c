import assert from 'node:assert/strict'
import { test } from 'node:test'
import fc from 'fast-check'
import {
  type EcrRegistry,
  parseEcrHost,
  partitionOf,
} from '../../../src/credentials/aws/ecr-host.ts'
import { cpuTimeOf } from '../../support/cpu-time.ts'

const account = '123456789012'

test('each form of a registry of ECR is known by its host', () => {
  const known: readonly (readonly [string, Partial<EcrRegistry & { kind: 'private' }>])[] = [
    ['dkr.ecr.eu-west-1.amazonaws.com', { region: 'eu-west-1', fips: false, dualStack: false }],
    ['dkr.ecr-fips.us-gov-west-1.amazonaws.com', { region: 'us-gov-west-1', fips: true }],
    ['dkr-ecr.eu-west-1.on.aws', { region: 'eu-west-1', fips: false, dualStack: true }],
    ['dkr-ecr-fips.us-east-2.on.aws', { region: 'us-east-2', fips: true, dualStack: true }],
    ['dkr.ecr.cn-north-1.amazonaws.com.cn', { region: 'cn-north-1' }],
    ['dkr-ecr.cn-north-1.on.amazonwebservices.com.cn', { dualStack: true }],
    ['dkr.ecr.us-iso-east-1.c2s.ic.gov', { region: 'us-iso-east-1' }],
    ['dkr.ecr.us-isob-east-1.sc2s.sgov.gov', { region: 'us-isob-east-1' }],
    ['dkr.ecr.eu-isoe-west-1.cloud.adc-e.uk', { region: 'eu-isoe-west-1' }],
    ['dkr.ecr.us-isof-south-1.csp.hci.ic.gov', { region: 'us-isof-south-1' }],
    ['dkr.ecr.eusc-de-east-1.amazonaws.eu', { region: 'eusc-de-east-1' }],
  ]
  for (const [rest, expected] of known) {
    const parsed = parseEcrHost(`${account}.${rest}`)
    assert.ok(parsed?.kind === 'private', rest)
    assert.equal(parsed.account, account)
    assert.deepEqual({ ...parsed, ...expected }, parsed, rest)
  }
  assert.deepEqual(parseEcrHost('public.ecr.aws'), { kind: 'public' })
  assert.deepEqual(parseEcrHost('ecr-public.aws.com'), { kind: 'public' })
})

test('a host that only looks like one is none', () => {
  for (const host of [
    'dkr.ecr.eu-west-1.amazonaws.com',
    `${account}.dkr.ecr.eu-west-1.amazonaws.com.evil.example`,
    `${account}.dkr.ecr.eu-west-1.evil.amazonaws.com`,
    `${account}.dkr.ecr.cn-north-1.amazonaws.com`,
    `${account}.dkr.ecr.eu-west-1.amazonaws.com.cn`,
    `${account}.dkr.ecr.eu-west-1.on.aws`,
    `${account}.dkr-ecr.eu-west-1.amazonaws.com`,
    `${account}.dkr-ecr.us-iso-east-1.c2s.ic.gov`,
    `1${account}.dkr.ecr.eu-west-1.amazonaws.com`,
    `evil.${account}.dkr.ecr.eu-west-1.amazonaws.com`,
    'public.ecr.aws.evil.example',
    'xpublic.ecr.aws',
    'localhost:5000',
    '',
  ])
    assert.equal(parseEcrHost(host), undefined, host)
})

const regionPrefixes = ['us', 'eu', 'ap', 'cn', 'us-gov', 'us-iso', 'us-isob', 'eu-isoe', 'eusc-de']
const regions = fc
  .tuple(
    fc.constantFrom(...regionPrefixes),
    fc.constantFrom('north', 'southeast', 'central'),
    fc.integer({ min: 1, max: 9 }),
  )
  .map((parts) => parts.join('-'))

test('what a host was made of is what is read from it, with or without a port', () => {
  const parts = fc.record({
    account: fc.stringMatching(/^\d{12}$/),
    region: regions,
    fips: fc.boolean(),
    wantsDualStack: fc.boolean(),
    port: fc.option(fc.integer({ min: 1, max: 65_535 }), { nil: undefined }),
  })
  fc.assert(
    fc.property(parts, ({ account, region, fips, wantsDualStack, port }) => {
      const partition = partitionOf(region)
      const dualStack = wantsDualStack && partition.dualStack !== undefined
      const host = `${account}.dkr${dualStack ? '-' : '.'}ecr${fips ? '-fips' : ''}.${region}.${dualStack ? partition.dualStack : partition.suffix}`
      const parsed = parseEcrHost(port === undefined ? host : `${host}:${port}`)
      assert.deepEqual(parsed, { kind: 'private', account, region, fips, dualStack })
    }),
  )
})

test('no text is anything but a registry or none, and none takes long', async () => {
  const parts = fc.constantFrom(
    '1',
    account,
    '.dkr',
    '.ecr',
    '-ecr',
    '.eu',
    '-west',
    '-1',
    '.',
    '-',
  )
  await fc.assert(
    fc.asyncProperty(fc.oneof(fc.string(), fc.array(parts, { maxLength: 200 })), async (text) => {
      const host = typeof text === 'string' ? text : text.join('')
      const time = await cpuTimeOf(() => parseEcrHost(host))
      assert.ok(time < 1000, `${time} ms`)
    }),
  )
})
