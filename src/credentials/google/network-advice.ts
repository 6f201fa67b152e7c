import { type AdviceRow, advise } from '../advise.ts'
import type { FailedRequest } from './failed-request.ts'

const dnsErrors = new Set(['ENOTFOUND', 'EAI_AGAIN'])

const rows: readonly AdviceRow<FailedRequest>[] = [
  {
    when: ({ status = 0 }) => status >= 300 && status < 400,
    say: ({ host }) =>
      `${host} answered with a redirect, which Berth does not follow with a token: correct the URL in the credential configuration, or check whether a proxy or a login page intercepts the request`,
  },
  {
    when: ({ status, raw }) => status === 407 || /forward proxy answered 407/.test(raw),
    say: 'the proxy requires a user name and password: add them to the URL in HTTPS_PROXY',
  },
  {
    when: ({ status }) => status === 429,
    say: ({ host }) => `${host} throttles requests; Berth retries, no change is needed`,
  },
  {
    when: ({ status = 0 }) => status >= 500,
    say: ({ host }) =>
      `${host} has an internal error (see status.cloud.google.com for Google's services); Berth retries, no change is needed`,
  },
  {
    when: ({ status, code }) => status === undefined && dnsErrors.has(code),
    say: ({ host }) =>
      `the name ${host.replace(/:\d+$/, '')} cannot be resolved here: check the cluster's DNS, or set HTTPS_PROXY if a proxy is the only way out`,
  },
  {
    when: ({ status, code }) =>
      status === undefined && /CERT|SIGNATURE|TLS|SSL|SELF_SIGNED/.test(code),
    say: ({ host }) =>
      `the certificate of ${host} is signed by an unknown authority: if a proxy intercepts TLS here, name the file with its certificate authority in SSL_CERT_FILE, NODE_EXTRA_CA_CERTS or upstreams[].certificateAuthorities`,
  },
  {
    when: ({ status }) => status === undefined,
    say: ({ host }) =>
      `allow connections from Berth to ${host} (network policies, firewalls), or set HTTPS_PROXY`,
  },
]

/** What to change when the network, or Google itself, is the problem; undefined: neither is. */
export function adviseOnNetwork(request: FailedRequest): string | undefined {
  return advise(rows, request)
}
