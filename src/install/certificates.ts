import {
  createHash,
  createPrivateKey,
  createPublicKey,
  generateKeyPairSync,
  type KeyObject,
  randomBytes,
  sign,
} from 'node:crypto'
import { isIP } from 'node:net'
import ipaddr from 'ipaddr.js'
import { bits, integer, octets, oid, sequence, set, tagged, time, utf8, yes } from './der.ts'

/** A certificate and its key, as PEM. */
export type KeyPair = { readonly certificate: string; readonly key: string }

type Validity = { readonly from: Date; readonly days: number }
type Serving = Validity & {
  /** DNS names and addresses. */
  readonly names: readonly string[]
}

const oids = {
  commonName: '2.5.4.3',
  subjectKey: '2.5.29.14',
  keyUsage: '2.5.29.15',
  alternativeNames: '2.5.29.17',
  constraints: '2.5.29.19',
  authorityKey: '2.5.29.35',
  extendedUsage: '2.5.29.37',
  serverAuth: '1.3.6.1.5.5.7.3.1',
  ecdsaWithSha256: '1.2.840.10045.4.3.2',
} as const

const algorithm = sequence(oid(oids.ecdsaWithSha256))
/** Of RFC 5280, as bits from the left. */
const usages = { digitalSignature: [0x80, 7], signCertificates: [0x06, 1] } as const
const day = 86_400_000

type Issuing = {
  readonly subject: string
  readonly publicKey: KeyObject
  readonly issuer: { readonly name: string; readonly key: KeyObject }
  readonly validity: Validity
  readonly extensions: readonly Buffer[]
}

/** An authority of its own: its name, and a key on P-256. */
export function createAuthority(name: string, validity: Validity): KeyPair {
  const { privateKey, publicKey } = generateKeyPairSync('ec', { namedCurve: 'P-256' })
  const certificate = issue({
    subject: name,
    publicKey,
    issuer: { name, key: privateKey },
    validity,
    extensions: [
      extension(oids.constraints, sequence(yes), { isCritical: true }),
      extension(oids.keyUsage, usage(usages.signCertificates), { isCritical: true }),
    ],
  })
  return { certificate, key: pemOf(privateKey) }
}

/** A server's certificate, signed by an authority that `createAuthority` made under `issuer`. */
export function issueServing(
  authority: KeyPair & { readonly issuer: string },
  { names, ...validity }: Serving,
): KeyPair {
  const { privateKey, publicKey } = generateKeyPairSync('ec', { namedCurve: 'P-256' })
  const [subject = ''] = names
  const certificate = issue({
    subject,
    publicKey,
    issuer: { name: authority.issuer, key: createPrivateKey(authority.key) },
    validity,
    extensions: [
      extension(oids.constraints, sequence(), { isCritical: true }),
      extension(oids.keyUsage, usage(usages.digitalSignature), { isCritical: true }),
      extension(oids.extendedUsage, sequence(oid(oids.serverAuth))),
      extension(oids.alternativeNames, sequence(...names.map(alternativeName))),
    ],
  })
  return { certificate, key: pemOf(privateKey) }
}

/** RFC 5280, 4.1. */
function issue({ subject, publicKey, issuer, validity, extensions }: Issuing): string {
  const { from, days } = validity
  const keyIds = [
    extension(oids.subjectKey, octets(keyIdOf(publicKey))),
    extension(oids.authorityKey, sequence(tagged(0x80, keyIdOf(createPublicKey(issuer.key))))),
  ]
  const toBeSigned = sequence(
    tagged(0xa0, integer(Buffer.from([2]))),
    // Twenty bytes at most, and positive.
    integer(Buffer.concat([Buffer.from([1]), randomBytes(18)])),
    algorithm,
    distinguishedName(issuer.name),
    sequence(time(from), time(new Date(from.getTime() + days * day))),
    distinguishedName(subject),
    publicKey.export({ type: 'spki', format: 'der' }),
    tagged(0xa3, sequence(...extensions, ...keyIds)),
  )
  const signature = sign('sha256', toBeSigned, issuer.key)
  return pem('CERTIFICATE', sequence(toBeSigned, algorithm, bits(signature)))
}

function distinguishedName(commonName: string): Buffer {
  return sequence(set(sequence(oid(oids.commonName), utf8(commonName))))
}

function extension(id: string, value: Buffer, { isCritical = false } = {}): Buffer {
  return sequence(oid(id), ...(isCritical ? [yes] : []), octets(value))
}

function usage([byte, unused]: readonly [number, number]): Buffer {
  return bits(Buffer.from([byte]), unused)
}

function alternativeName(name: string): Buffer {
  return isIP(name) === 0
    ? tagged(0x82, Buffer.from(name, 'ascii'))
    : tagged(0x87, Buffer.from(ipaddr.parse(name).toByteArray()))
}

/** Whatever identifies the key (RFC 7093, 2): the beginning of its SHA-256. */
function keyIdOf(key: KeyObject): Buffer {
  const der = key.export({ type: 'spki', format: 'der' })
  return createHash('sha256').update(der).digest().subarray(0, 20)
}

function pemOf(key: KeyObject): string {
  return key.export({ type: 'pkcs8', format: 'pem' }).toString()
}

function pem(label: string, der: Buffer): string {
  const lines = der.toString('base64').match(/.{1,64}/g) ?? []
  return `-----BEGIN ${label}-----\n${lines.join('\n')}\n-----END ${label}-----\n`
}
