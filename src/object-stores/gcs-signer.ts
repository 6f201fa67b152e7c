import { createHash } from 'node:crypto'
import type { GoogleSigner } from '../credentials/credentials.ts'

const algorithm = 'GOOG4-RSA-SHA256'

type Signed = {
  readonly origin: string
  readonly bucket: string
  readonly key: string
  readonly seconds: number
  readonly now: Date
}

/** A URL that reads an object: Google's V4 signing process. It is a secret. */
export async function signUrl(
  { account, sign }: GoogleSigner,
  { origin, bucket, key, seconds, now }: Signed,
): Promise<string> {
  const time = now.toISOString().replace(/[-:]|\.\d+/g, '')
  const scope = `${time.slice(0, 8)}/auto/storage/goog4_request`
  const path = [bucket, ...key.split('/')].map(encode).join('/')
  const query = Object.entries({
    'X-Goog-Algorithm': algorithm,
    'X-Goog-Credential': `${account}/${scope}`,
    'X-Goog-Date': time,
    'X-Goog-Expires': String(seconds),
    'X-Goog-SignedHeaders': 'host',
  })
    .map(([name, value]) => `${name}=${encode(value)}`)
    .join('&')
  const { host } = new URL(origin)
  const request = `GET\n/${path}\n${query}\nhost:${host}\n\nhost\nUNSIGNED-PAYLOAD`
  const digest = createHash('sha256').update(request).digest('hex')
  const signature = await sign(`${algorithm}\n${time}\n${scope}\n${digest}`)
  return `${origin}/${path}?${query}&X-Goog-Signature=${signature.toString('hex')}`
}

/** As RFC 3986 wants it. */
function encode(text: string): string {
  return encodeURIComponent(text).replace(
    /[!'()*]/g,
    (character) => `%${character.charCodeAt(0).toString(16).toUpperCase()}`,
  )
}
