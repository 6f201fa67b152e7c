import assert from 'node:assert/strict'
import { test } from 'node:test'
import { createCredentials } from '../../src/credentials/credentials.ts'
import { createOutbound } from '../../src/outbound/outbound.ts'
import { adviceToList, toUpstreamFailure } from '../../src/remote/faults.ts'
import { inSpec } from '../../src/surrogate/advice.ts'
import { watchedTelemetry } from '../support/telemetry.ts'

const origin = 'https://registry.example.com'

function ofFault(code: string): string {
  return toUpstreamFailure(Object.assign(new Error('x'), { code }), origin).message
}

function ofMissingLogin(): string {
  const { telemetry } = watchedTelemetry()
  const { host } = new URL(origin)
  const context = { host, outbound: createOutbound(), upstream: host, telemetry }
  return createCredentials({ type: 'anonymous' }, context).advice('team/app') ?? ''
}

/** What the rooms below advise, as they say it, and the field of a Registry for it. */
const advice = {
  'an unknown authority': [ofFault('UNABLE_TO_VERIFY_LEAF_SIGNATURE'), 'spec.tls.caSecretRef'],
  'a certificate for another name': [
    ofFault('ERR_TLS_CERT_ALTNAME_INVALID'),
    'spec.tls.serverName',
  ],
  'no TLS': [ofFault('EPROTO'), 'spec.tls.enabled'],
  'a realm': [adviceToList(new URL(origin), 'tokenRealms'), 'spec.credentials.tokenRealms'],
  'a redirect': [adviceToList(new URL(origin), 'redirects'), 'spec.redirects'],
  'no login': [ofMissingLogin(), 'spec.credentials.secretRef'],
} as const

for (const [name, [message, field]] of Object.entries(advice))
  test(`the advice for ${name} names ${field}, and nothing of a configuration file`, () => {
    const translated = inSpec(message)
    assert.ok(translated.includes(field), translated)
    assert.doesNotMatch(
      translated,
      /upstreams\[\]|certificateAuthorities|--certificate|the url has/,
    )
  })
