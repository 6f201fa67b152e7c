import { readdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { createSecureContext, getCACertificates, type SecureContext } from 'node:tls'

/** The values of SSL_CERT_FILE and SSL_CERT_DIR: a file, and directories separated by colons. */
export type AuthoritySources = {
  readonly file?: string | undefined
  readonly directories?: string | undefined
}

export interface Authorities {
  /**
   * The trusted authorities: Node's own list, NODE_EXTRA_CA_CERTS, the system's store,
   * SSL_CERT_FILE and SSL_CERT_DIR, and `file` in addition. The file is read immediately; the rest
   * at the first TLS connection, because reading takes a tenth of a second.
   * @throws the file system's error if `file` cannot be read.
   */
  open(trust: {
    readonly file: string | undefined
    readonly clientCertificate: ClientCertificate | undefined
  }): () => SecureContext | undefined
}

/** The client certificate for a server that requests one: PEM. */
export type ClientCertificate = { readonly cert: string; readonly key: string }

const certificate = /-----BEGIN CERTIFICATE-----[\s\S]*?-----END CERTIFICATE-----/g

export function createAuthorities(sources: AuthoritySources): Authorities {
  const shared = once(() => readShared(sources))
  const common = once(() => contextOf(shared()))
  return {
    open: ({ file, clientCertificate }) => {
      if (file === undefined && clientCertificate === undefined) return common
      const own = file === undefined ? [] : certificatesIn(readFileSync(file, 'utf8'))
      return once(() => contextOf([...shared(), ...own], clientCertificate))
    },
  }
}

function readShared({ file, directories = '' }: AuthoritySources): readonly string[] {
  return [
    ...getCACertificates('system'),
    ...(file ? readQuietly(file) : []),
    ...directories
      .split(':')
      .filter(Boolean)
      .flatMap((directory) => filesIn(directory).flatMap(readQuietly)),
  ].map(normalized)
}

/** Undefined if Node's own list contains all of them: that list costs nothing. */
function contextOf(
  added: readonly string[],
  clientCertificate?: ClientCertificate,
): SecureContext | undefined {
  const standard = new Set(getCACertificates('default').map(normalized))
  const all = new Set([...standard, ...added])
  if (all.size === standard.size && clientCertificate === undefined) return undefined
  return createSecureContext({ ca: [...all], ...clientCertificate })
}

/** Unreadable files in the system's locations are skipped, as Go does. */
function readQuietly(file: string): readonly string[] {
  try {
    return certificatesIn(readFileSync(file, 'utf8'))
  } catch {
    return []
  }
}

function filesIn(directory: string): readonly string[] {
  try {
    return readdirSync(directory).map((name) => join(directory, name))
  } catch {
    return []
  }
}

function certificatesIn(text: string): readonly string[] {
  return (text.match(certificate) ?? []).map(normalized)
}

function normalized(pem: string): string {
  return pem.replaceAll('\r', '').trim()
}

function once<Value>(make: () => Value): () => Value {
  let made: { readonly value: Value } | undefined
  return () => {
    made ??= { value: make() }
    return made.value
  }
}
