/** What messages advise for the configuration of `berth serve`, and for a Registry. */
const places = [
  [
    "name that one's PEM file: certificateAuthorities of the upstream, --certificate of a command",
    'put that one into a Secret or a ConfigMap, and name that in spec.tls.caSecretRef or spec.tls.caConfigMapRef',
  ],
  [
    'the url has to name the host as its certificate does',
    'set spec.tls.serverName to a name in its certificate',
  ],
  ['on that port', 'on that port: then set spec.tls.enabled to false'],
  ['upstreams[].tokenRealms', 'spec.credentials.tokenRealms'],
  ['upstreams[].redirects', 'spec.redirects'],
  [
    'configure credentials for this upstream (upstreams[].credentials)',
    'set spec.credentials.secretRef',
  ],
] as const

/** A message with the advice for the author of a Registry. */
export function inSpec(message: string): string {
  return places.reduce((text, [of, here]) => text.replace(of, here), message)
}
