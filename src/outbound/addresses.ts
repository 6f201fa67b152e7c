import { type LookupAddress, type LookupAllOptions, lookup } from 'node:dns'
import { isIP, type LookupFunction } from 'node:net'
import { promisify } from 'node:util'
import ipaddr from 'ipaddr.js'

/**
 * `private`: a company's own networks. `internal`: loopback, link-local, metadata services,
 * multicast, reserved.
 */
type AddressKind = 'public' | 'private' | 'internal'

const privateRanges = new Set(['private', 'uniqueLocal', 'carrierGradeNat'])

/** Metadata services and node agents of clouds, at addresses that look like ordinary ones. */
const metadataServices = new Set([
  'fd00:ec2::254',
  'fd00:ec2::23',
  'fd20:ce::254',
  '100.100.100.200',
  '168.63.129.16',
])

export function isPublicAddress(address: string): boolean {
  return kindOf(address) === 'public'
}

export function isPrivateAddress(address: string): boolean {
  return kindOf(address) === 'private'
}

function kindOf(address: string): AddressKind {
  if (isIP(address) === 0) return 'internal'
  const parsed = ipaddr.process(address)
  if (metadataServices.has(parsed.toString())) return 'internal'
  const range = parsed.range()
  if (range === 'unicast') return 'public'
  if (privateRanges.has(range)) return 'private'
  if (range !== 'rfc6052' || parsed.kind() !== 'ipv6') return 'internal'
  return worst(embeddedIn(parsed.toByteArray()).map(kindOf))
}

function worst(kinds: readonly AddressKind[]): AddressKind {
  return (
    kinds.find((kind) => kind === 'internal') ??
    kinds.find((kind) => kind === 'private') ??
    'public'
  )
}

/**
 * The IPv4 addresses that a NAT64 may reach by an IPv6 address (RFC 6052, section 2.2). In the
 * well-known prefix, where only the last four bytes are used, there is one. Below 64:ff9b:1::/48
 * (RFC 8215) only the operator knows the length of the prefix, so all candidates count.
 */
function embeddedIn(bytes: readonly number[]): readonly string[] {
  const isWellKnown = bytes.slice(4, 12).every((byte) => byte === 0)
  const layouts =
    isWellKnown || bytes.slice(9, 12).every((byte) => byte === 0)
      ? [[12, 13, 14, 15]]
      : [
          [12, 13, 14, 15],
          [9, 10, 11, 12],
          [7, 9, 10, 11],
          [6, 7, 9, 10],
        ]
  return layouts.map((layout) => layout.map((at) => bytes[at]).join('.'))
}

/** Which addresses Berth may connect to. */
export type AddressPolicy =
  | 'any'
  | 'public'
  /** Private addresses too, if this host has one. */
  | { readonly privateLike: string }

/** A name or an address that resolves to an address that the policy forbids. */
export class ForbiddenAddress extends Error {
  override readonly name = 'ForbiddenAddress'
  readonly host: string

  constructor(host: string, addresses: readonly string[]) {
    super(`${host} has no public address, only ${addresses.join(', ')}`)
    this.host = host
  }
}

type Resolve = (host: string, options: LookupAllOptions) => Promise<LookupAddress[]>

const resolveBySystem: Resolve = promisify(lookup)

/**
 * A name lookup that returns allowed addresses only. The check is here, on the address of the
 * connection, because a name that was public a moment ago may resolve to an internal address now
 * (DNS rebinding). Literal addresses are not looked up: `remote/origins` checks them.
 */
export function lookupAllowed(
  policy: Exclude<AddressPolicy, 'any'>,
  resolve: Resolve = resolveBySystem,
): LookupFunction {
  return (hostname, options, callback) => {
    void findAllowed(hostname, options, { policy, resolve }).then(
      (allowed) => {
        const [first] = allowed
        if (options.all) callback(null, allowed, first?.family)
        else callback(null, first?.address ?? '', first?.family)
      },
      (error: Error) => callback(error, '', 0),
    )
  }
}

async function findAllowed(
  hostname: string,
  options: Parameters<LookupFunction>[1],
  { policy, resolve }: { policy: Exclude<AddressPolicy, 'any'>; resolve: Resolve },
): Promise<LookupAddress[]> {
  const found = await resolve(hostname, { ...options, all: true })
  const isPrivateAllowed = policy !== 'public' && (await isPrivate(policy.privateLike, resolve))
  const allowed = found.filter(({ address }) => {
    const kind = kindOf(address)
    return kind === 'public' || (kind === 'private' && isPrivateAllowed)
  })
  if (allowed.length > 0) return allowed
  throw new ForbiddenAddress(
    hostname,
    found.map(({ address }) => address),
  )
}

async function isPrivate(host: string, resolve: Resolve): Promise<boolean> {
  const withoutBrackets = host.replace(/^\[|\]$/g, '')
  if (isIP(withoutBrackets) !== 0) return isPrivateAddress(withoutBrackets)
  const found = await resolve(withoutBrackets, { all: true }).catch(() => [])
  return found.some(({ address }) => isPrivateAddress(address))
}
