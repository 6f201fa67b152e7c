import type { IncomingMessage } from 'node:http'

/** RFC 9110, section 4.2.4: user information in the authority is an error, so it does not match. */
const absoluteForm = /^https?:\/\/([^/?#@]+)(.*)$/i

/**
 * Brings a target in absolute form, which clients send to a forward proxy and a server must accept, into origin form, so
 * that all handlers see one form. Its host replaces that of the Host header, which a proxy may have chosen differently
 * (RFC 9112, section 3.2.2). The path is not normalized.
 */
export function useOriginForm(request: IncomingMessage): void {
  const [, host, rest = ''] = absoluteForm.exec(request.url ?? '') ?? []
  if (host === undefined) return
  const asterisk = request.method === 'OPTIONS' && rest === ''
  request.headers.host = host
  request.url = asterisk ? '*' : rest.startsWith('/') ? rest : `/${rest}`
}
