import { X509Certificate } from 'node:crypto'
import { readdirSync, readFileSync, statSync } from 'node:fs'
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
   * at the first TLS connection, because reading takes a tenth of a second. `file` and SSL_CERT_FILE are
   * read again for later connections, because authorities are renewed: the context is then another object.
   * @throws the file system's error if `file` cannot be read.
   */
  open(trust: {
    readonly file: string | undefined
    readonly clientCertificate: ClientCertificate | undefined
  }): () => SecureContext | undefined
}

/** The client certificate for a server that requests one: PEM. */
export type ClientCertificate = { readonly cert: string; readonly key: string }

type Certificates = readonly string[]

/** In milliseconds, between two reads of a file. */
const rereadInterval = 5000

const certificate = /-----BEGIN CERTIFICATE-----[\s\S]*?-----END CERTIFICATE-----/g

export function createAuthorities({ file: bundle, directories }: AuthoritySources): Authorities {
  const installed = once(() => readInstalled(directories))
  const bundled = bundle ? once(() => followed(bundle, readQuietly(bundle))) : () => none
  const common = trusting(() => [installed(), bundled()()])
  return {
    open: ({ file, clientCertificate }) => {
      if (file === undefined && clientCertificate === undefined) return common
      const own = file === undefined ? none : followed(file, certificatesIn(readText(file)))
      return trusting(() => [installed(), bundled()(), own()], clientCertificate)
    },
  }
}

const empty: Certificates = []
const none = () => empty

/** The certificates of a file, the same object as long as they do not change. */
function followed(file: string, initial: Certificates): () => Certificates {
  let current = initial
  let readAt = performance.now()
  return () => {
    if (performance.now() < readAt + rereadInterval) return current
    readAt = performance.now()
    const found = readQuietly(file)
    // A file that is gone, empty or half written is about to be replaced.
    if (found.length > 0 && found.join() !== current.join() && found.every(isCertificate))
      current = found
    return current
  }
}

/** One context, until the certificates change. */
function trusting(
  read: () => readonly Certificates[],
  clientCertificate?: ClientCertificate,
): () => SecureContext | undefined {
  let made: { readonly from: readonly Certificates[]; readonly context?: SecureContext } | undefined
  return () => {
    const from = read()
    if (made === undefined || from.some((each, index) => each !== made?.from[index])) {
      const context = contextOf(from.flat(), clientCertificate)
      made = { from, ...(context && { context }) }
    }
    return made.context
  }
}

function readInstalled(directories = ''): Certificates {
  return [
    ...getCACertificates('system').map(normalized),
    ...directories
      .split(':')
      .filter(Boolean)
      .flatMap((directory) => filesIn(directory).flatMap(readQuietly)),
  ]
}

/** Undefined if Node's own list contains all of them: that list costs nothing. */
function contextOf(
  added: Certificates,
  clientCertificate?: ClientCertificate,
): SecureContext | undefined {
  const standard = new Set(getCACertificates('default').map(normalized))
  const all = new Set([...standard, ...added])
  if (all.size === standard.size && clientCertificate === undefined) return undefined
  return createSecureContext({ ca: [...all], ...clientCertificate })
}

/** Unreadable files in the system's locations are skipped, as Go does. */
function readQuietly(file: string): Certificates {
  try {
    return certificatesIn(readText(file))
  } catch {
    return []
  }
}

/** The danger: a read from a pipe without a writer does not end. */
function readText(file: string): string {
  if (!statSync(file).isFile()) throw new Error(`${file} is not a regular file`)
  return readFileSync(file, 'utf8')
}

function filesIn(directory: string): readonly string[] {
  try {
    return readdirSync(directory).map((name) => join(directory, name))
  } catch {
    return []
  }
}

function isCertificate(pem: string): boolean {
  try {
    return new X509Certificate(pem).raw.length > 0
  } catch {
    return false
  }
}

function certificatesIn(text: string): Certificates {
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
