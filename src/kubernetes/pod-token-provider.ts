import { stringify } from 'yaml'

/** The name of the program, which the kubelet's configuration must have as well. */
const podTokenProviderName = 'berth-pod-token'

type Options = {
  /** Hosts of Berth in image names. */
  readonly registries: readonly string[]
  readonly audience: string
}

/**
 * The kubelet's CredentialProviderConfig for pods that pull from Berth as themselves (KEP-4412). The token is
 * the credential, so the kubelet caches it for each token. Pods without a service account, such as static
 * pods, are not asked about.
 */
export function podTokenProviderConfig({ registries, audience }: Options): string {
  const provider = {
    name: podTokenProviderName,
    apiVersion: 'credentialprovider.kubelet.k8s.io/v1',
    matchImages: registries,
    defaultCacheDuration: '1m0s',
    tokenAttributes: {
      serviceAccountTokenAudience: audience,
      cacheType: 'Token',
      requireServiceAccount: true,
    },
  }
  return stringify(
    {
      apiVersion: 'kubelet.config.k8s.io/v1',
      kind: 'CredentialProviderConfig',
      providers: [provider],
    },
    { version: '1.1', lineWidth: 0 },
  )
}

/**
 * The program. A shell script, because nodes have no Node.js: it needs sh, sed, cat and tr. A kubelet encodes
 * its request by Go's JSON, in which a token and an image have no escapes. The token is in no argument, which
 * other users could read: printf is part of the shell.
 */
export const podTokenProvider = `#!/bin/sh
# Written by Berth. A kubelet's credential provider: the token of the pod's service account is the password for Berth.
set -eu
request=$(cat)
field() {
  printf '%s' "$request" | tr -d '\\n' | sed -n 's/.*"'"$1"'" *: *"\\([A-Za-z0-9_.:/@-]*\\)".*/\\1/p'
}
version=$(field apiVersion)
image=$(field image)
token=$(field serviceAccountToken)
if [ -z "$token" ] || [ -z "$image" ]; then
  echo 'the kubelet sent no service account token: set tokenAttributes in its CredentialProviderConfig (Kubernetes 1.34)' >&2
  exit 1
fi
printf '{"kind":"CredentialProviderResponse","apiVersion":"%s","cacheKeyType":"Registry","auth":{"%s":{"username":"token","password":"%s"}}}\\n' \\
  "$version" "\${image%%/*}" "$token"
`
