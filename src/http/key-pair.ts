import { createPrivateKey, X509Certificate } from 'node:crypto'

/** A certificate with its chain, and the private key, as PEM. */
export type KeyPair = { readonly certificate: string; readonly key: string }

/**
 * Checks the content of a certificate file and a key file. Undefined without files.
 * @throws Error that names the file and the problem instead of an OpenSSL code.
 */
export function parseKeyPair(
  files: readonly string[],
  [certificate, key]: readonly string[],
): KeyPair | undefined {
  if (certificate === undefined || key === undefined) return undefined
  const [certificateFile, keyFile] = files
  const parsed = attempt(
    () => new X509Certificate(certificate),
    `${certificateFile} is not a certificate in PEM format`,
  )
  const privateKey = attempt(
    () => createPrivateKey(key),
    `${keyFile} is not an unencrypted private key in PEM format`,
  )
  if (!parsed.checkPrivateKey(privateKey))
    throw new Error(`the key in ${keyFile} does not match the certificate in ${certificateFile}`)
  return { certificate, key }
}

/** Why clients do not accept the certificate at this time; undefined: they may. */
export function validityProblem({ certificate }: KeyPair, now = Date.now()): string | undefined {
  const { validFromDate, validToDate } = new X509Certificate(certificate)
  if (validToDate.getTime() <= now)
    return `the certificate expired at ${validToDate.toISOString()}, so clients do not accept it: renew it`
  if (validFromDate.getTime() > now)
    return `the certificate is not valid before ${validFromDate.toISOString()}, so clients do not accept it: correct this machine's clock, or the certificate`
  return undefined
}

function attempt<Result>(work: () => Result, message: string): Result {
  try {
    return work()
  } catch {
    // OpenSSL's message adds nothing, and may contain a part of the file.
    throw new Error(message)
  }
}
