import assert from 'node:assert/strict'
import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { after, before, test } from 'node:test'
import fc from 'fast-check'
import { CredentialError } from '../../../src/credentials/credential-error.ts'
import {
  type Configuration,
  impersonatedBy,
  readConfiguration,
  secretsIn,
} from '../../../src/credentials/google/configuration.ts'

let file: string
let directory: string

before(async () => {
  directory = await mkdtemp(join(tmpdir(), 'berth-google-'))
  file = join(directory, 'configuration.json')
})
after(() => rm(directory, { recursive: true, force: true }))

async function read(content: unknown): Promise<Configuration> {
  await writeFile(file, JSON.stringify(content))
  return readConfiguration(file)
}

const external = {
  type: 'external_account',
  audience: '//iam.googleapis.com/projects/1/locations/global/workloadIdentityPools/p/providers/x',
  subject_token_type: 'urn:ietf:params:oauth:token-type:jwt',
  token_url: 'https://sts.googleapis.com/v1/token',
}
const account = 'a@p.iam.gserviceaccount.com'
const service_account_impersonation_url = `https://iamcredentials.googleapis.com/v1/projects/-/serviceAccounts/${account}:generateAccessToken`
const user = {
  type: 'authorized_user',
  client_id: 'id',
  client_secret: 'client secret',
  refresh_token: 'refresh token',
}

test('each type of credential source is recognised', async () => {
  for (const [kind, source] of [
    ['file', { file: '/token' }],
    ['file', { file: '/token', format: { type: 'text' } }],
    ['url', { url: 'http://localhost/', format: { type: 'json', subject_token_field_name: 'x' } }],
    ['executable', { executable: { command: '/bin/x', timeout_millis: 5000, output_file: '/o' } }],
    ['aws', { environment_id: 'aws1', url: 'http://a/', regional_cred_verification_url: 'x' }],
    ['certificate', { certificate: { use_default_certificate_config: true } }],
  ] as const) {
    const configuration = await read({ ...external, credential_source: source })
    assert.equal(configuration.type, 'external_account')
    if (configuration.type !== 'external_account') return
    assert.equal(configuration.credential_source?.kind, kind)
  }
})

test('the impersonated account is parsed from the URL', async () => {
  const source_credentials = user
  for (const content of [
    { ...external, service_account_impersonation_url },
    { type: 'impersonated_service_account', service_account_impersonation_url, source_credentials },
  ])
    assert.equal(impersonatedBy(await read(content)), account)
  assert.equal(impersonatedBy(await read(external)), undefined)
  assert.equal(impersonatedBy(await read(user)), undefined)
})

test('the secrets of a configuration are found, also in a nested one', async () => {
  const key = { type: 'service_account', client_email: account, private_key: 'private key' }
  const within = (source_credentials: unknown) => ({
    type: 'impersonated_service_account',
    service_account_impersonation_url,
    source_credentials,
  })
  const secretsOf = async (content: unknown) => secretsIn(await read(content))
  assert.deepEqual(await secretsOf(key), ['private key'])
  assert.deepEqual(await secretsOf(within(key)), ['private key'])
  assert.deepEqual(await secretsOf(within(user)), ['refresh token', 'client secret'])
  assert.deepEqual(await secretsOf({ ...external, client_secret: 'x' }), ['x'])
})

test('any file is a configuration, or an error without its text', async () => {
  const type = fc.constantFrom('external_account', 'service_account', 'authorized_user', 'other')
  const content = fc.record({ type, private_key: fc.constant('canary-key'), x: fc.jsonValue() })
  await fc.assert(
    fc.asyncProperty(fc.oneof(fc.jsonValue(), content), async (value) => {
      const error: unknown = await read(value).catch((thrown: unknown) => thrown)
      if (!(error instanceof Error)) return
      assert.ok(error instanceof CredentialError)
      assert.doesNotMatch(error.message, /canary/)
      assert.match(error.advice ?? '', /a file that gcloud writes/)
    }),
    { numRuns: 100 },
  )
})
