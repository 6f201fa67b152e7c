import { readFile } from 'node:fs/promises'
import type { TestContext } from 'node:test'
import { getCACertificates, setDefaultCACertificates } from 'node:tls'
import { type Authority, createAuthority } from './certificates.ts'
import { type ConnectProxy, startConnectProxy } from './connect-proxy.ts'
import { type Google, startGoogle } from './google.ts'

export const otherUniverse = 'apis-berlin-build0.goog'

/**
 * Google by TLS and its own names, at the end of a proxy that leads nowhere else and that this process
 * uses until the end of the test.
 */
export async function startGoogleByName(
  t: TestContext,
): Promise<{ readonly google: Google; readonly proxy: ConnectProxy }> {
  const names = ['sts', 'iamcredentials', 'oauth2'].flatMap((name) => [
    `DNS:${name}.googleapis.com`,
    `DNS:${name}.${otherUniverse}`,
  ])
  const authority = await createTrustedAuthority('Google of the test')
  const google = await startGoogle({ grant: 'direct', tls: await authority.issue(names) })
  const proxy = await startConnectProxy({ route: () => ({ host: '127.0.0.1', port: google.port }) })
  process.env['HTTPS_PROXY'] = proxy.url
  t.after(async () => {
    delete process.env['HTTPS_PROXY']
    await Promise.all([google.stop(), proxy.close(), authority.remove()])
  })
  return { google, proxy }
}

/** An authority that this process trusts from now on. */
export async function createTrustedAuthority(name: string): Promise<Authority> {
  const authority = await createAuthority(name)
  const own = await readFile(authority.file, 'utf8')
  setDefaultCACertificates([...getCACertificates('default'), own])
  return authority
}
