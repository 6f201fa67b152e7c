import type { Credential } from '../credentials/credentials.ts'

/** Encodes a credential as Basic (RFC 7617); undefined for a credential that cannot be encoded. */
export function basicOf(credential: Credential): string | undefined {
  if (credential.kind === 'anonymous' || credential.kind === 'registry-token') return undefined
  if (credential.kind === 'identity-token' && credential.username === '') return undefined
  const secret = credential.kind === 'password' ? credential.password : credential.token
  return `Basic ${Buffer.from(`${credential.username}:${secret}`).toString('base64')}`
}

/** All encodings in which a credential is sent. */
export function secretsOf(credential: Credential): readonly string[] {
  if (credential.kind === 'anonymous') return []
  const secret = credential.kind === 'password' ? credential.password : credential.token
  return [secret, basicOf(credential)?.slice('Basic '.length) ?? ''].filter(Boolean)
}
