import { createPrivateKey, X509Certificate } from 'node:crypto'

export type KeyPair = { readonly certificate: string; readonly key: string }

/**
 * The texts of a certificate's and a key's file, once they have been looked at. Undefined without files.
 * @throws Error that names the file and what is wrong with it, in place of OpenSSL's codes.
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
    throw new Error(
      `the key in ${keyFile} does not belong to the certificate in ${certificateFile}`,
    )
  return { certificate, key }
}

function attempt<Result>(work: () => Result, message: string): Result {
  try {
    return work()
  } catch {
    // OpenSSL's text says nothing more, and may show a part of the file.
    throw new Error(message)
  }
}
