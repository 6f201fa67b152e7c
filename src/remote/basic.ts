import type { Credential } from '../credentials/credentials.ts'

/** A credential as Basic (RFC 7617); undefined for one that cannot be. */
export function basicOf(credential: Credential): string | undefined {
  if (credential.kind === 'anonymous') return undefined
  if (credential.kind === 'identity-token' && credential.username === '') return undefined
  const secret = credential.kind === 'password' ? credential.password : credential.token
  return `Basic ${Buffer.from(`${credential.username}:${secret}`).toString('base64')}`
}

/** All the forms in which a credential leaves us. */
export function secretsOf(credential: Credential): readonly string[] {
  if (credential.kind === 'anonymous') return []
  const secret = credential.kind === 'password' ? credential.password : credential.token
  return [secret, basicOf(credential)?.slice('Basic '.length) ?? ''].filter(Boolean)
}
