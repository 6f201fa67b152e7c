import { X509Certificate } from 'node:crypto'
import { createAuthority, issueServing, type KeyPair } from './certificates.ts'
import type { KubernetesObject } from './objects.ts'
import { simpleLabels, simpleName, simpleNames } from './simple-objects.ts'

/** Days. */
const authorityLifetime = 3650
/** Apple's systems accept no longer ones. */
const certificateLifetime = 800
const minRemaining = 90
const day = 86_400_000

/** `lines`: of an htpasswd file. */
export function usersSecret(namespace: string, lines: string): KubernetesObject {
  return secret(namespace, simpleNames.users, 'Opaque', { htpasswd: `${lines.trim()}\n` })
}

type Certificates = {
  readonly namespace: string
  readonly now: Date
  /** Of an earlier installation, as `data` of its Secret. */
  readonly authority?: KeyPair | undefined
}

/**
 * A certificate for the names of the Service and for `localhost`, and the authority that signed it: a new one, or
 * that of before, so that clients which trust it need no change.
 */
export function certificateSecrets({
  namespace,
  now,
  authority,
}: Certificates): readonly KubernetesObject[] {
  const from = new Date(now.getTime() - 3_600_000)
  const issuer = `${simpleName}-ca`
  const signer = authority ?? createAuthority(issuer, { from, days: authorityLifetime })
  const service = `${simpleName}.${namespace}`
  const dnsNames = [
    'localhost',
    simpleName,
    service,
    `${service}.svc`,
    `${service}.svc.cluster.local`,
  ]
  const names = [...dnsNames, '127.0.0.1', '::1']
  const pair = issueServing({ ...signer, issuer }, { names, from, days: certificateLifetime })
  const ca = { 'ca.crt': signer.certificate }
  return [
    tlsSecret(namespace, simpleNames.authority, signer, ca),
    tlsSecret(namespace, simpleNames.tls, pair, ca),
  ]
}

/** Undefined: it is no certificate. */
function expiryOf(certificate: string): Date | undefined {
  try {
    return new Date(new X509Certificate(certificate).validTo)
  } catch {
    return undefined
  }
}

/** Whether a certificate must be replaced when an installation is repeated. */
export function expiresSoon(certificate: string, now: Date): boolean {
  const expiry = expiryOf(certificate)
  return expiry === undefined || expiry.getTime() - now.getTime() < minRemaining * day
}

function tlsSecret(namespace: string, name: string, pair: KeyPair, more: Record<string, string>) {
  const data = { ...more, 'tls.crt': pair.certificate, 'tls.key': pair.key }
  return secret(namespace, name, 'kubernetes.io/tls', data)
}

function secret(
  namespace: string,
  name: string,
  type: string,
  texts: Readonly<Record<string, string>>,
): KubernetesObject {
  const encoded = Object.entries(texts).map(([key, text]) => [
    key,
    Buffer.from(text).toString('base64'),
  ])
  return {
    apiVersion: 'v1',
    kind: 'Secret',
    metadata: { name, namespace, labels: { ...simpleLabels } },
    type,
    data: Object.fromEntries(encoded),
  }
}
