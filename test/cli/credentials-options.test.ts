import assert from 'node:assert/strict'
import { test } from 'node:test'
import { credentialsOptions } from '../../src/cli/credentials/credentials-options.ts'
import { loadConfig } from '../../src/config/config.ts'

/** The options of one upstream's credentials, from these fields and variables. */
function optionsFor(credentials: Record<string, string>, environment: Record<string, string>) {
  const set = Object.entries(credentials).map(
    ([field, value]) => `upstreams[0].credentials.${field}=${value}`,
  )
  const url = 'upstreams[0].url=https://contoso.azurecr.io'
  const { config, ambient } = loadConfig({ flags: {}, set: [url, ...set], environment })
  const [upstream] = config.upstreams
  assert.ok(upstream !== undefined)
  return credentialsOptions(upstream.credentials, ambient)
}

const variables = {
  AZURE_TENANT_ID: 'tenant',
  AZURE_CLIENT_ID: 'client',
  AZURE_CLIENT_SECRET: 'secret',
  AZURE_FEDERATED_TOKEN_FILE: '/token',
  AZURE_AUTHORITY_HOST: 'https://login.example',
}

test("Azure's environment variables apply to fields that are not configured", () => {
  const { type, ...options } = optionsFor({ type: 'azure' }, variables)
  assert.equal(type, 'azure')
  assert.deepEqual(
    Object.fromEntries(Object.entries(options).filter(([, value]) => value !== undefined)),
    {
      tenantId: 'tenant',
      clientId: 'client',
      clientSecret: 'secret',
      federatedTokenFile: '/token',
      authorityHost: 'https://login.example',
    },
  )
})

test('a configured file takes precedence over a secret in a variable', () => {
  for (const file of ['clientSecretFile', 'federatedTokenFile']) {
    const options = optionsFor({ type: 'azure', [file]: '/configured' }, variables)
    assert.ok(options.type === 'azure')
    assert.equal(options.clientSecret, undefined)
    assert.equal(Reflect.get(options, file), '/configured')
    assert.equal(options.clientId, 'client')
  }
})

test("the metadata service's address comes from the variables of Azure's libraries", () => {
  const environment = { AZURE_POD_IDENTITY_AUTHORITY_HOST: 'http://machine', IDENTITY_ENDPOINT: '' }
  const options = optionsFor({ type: 'azure' }, environment)
  assert.ok(options.type === 'azure')
  assert.deepEqual([options.metadataHost, options.identityEndpoint], ['http://machine', undefined])
})
