import type { ClusterIssuer } from './cluster-issuer.ts'

/** The audience that tests configure. */
export const audience = 'berth'

type Account = { readonly namespace?: string; readonly name?: string }

/** The claims of a token that the API server gives to a pod's service account, except those of its issuer. */
export function claimsOf({ namespace = 'team-a', name = 'builder' }: Account = {}) {
  return {
    aud: [audience] as string | readonly string[],
    sub: `system:serviceaccount:${namespace}:${name}`,
    'kubernetes.io': {
      namespace,
      node: { name: 'node1', uid: '33d63baf-4f5b-4d4c-a0d8-c04e6d7bb3e6' },
      pod: { name: `${name}-0`, uid: 'cc3d5b2c-7bcd-49ef-83bd-3d80d7a4a3d4' },
      serviceaccount: { name, uid: '0f0a6ed4-d0ef-4c05-9e4f-8a9c1f6cc8a3' },
    },
  }
}

/** A valid token, unless claims are changed. */
export function tokenOf(
  issuer: ClusterIssuer,
  account: Account = {},
  changed: object = {},
): string {
  return issuer.sign({ ...claimsOf(account), ...changed })
}

/** A JWT whose signature is made by `sign`, or missing. */
export function assemble(
  header: object,
  claims: object,
  sign: (text: string) => string = () => '',
): string {
  const text = `${encode(header)}.${encode(claims)}`
  return `${text}.${sign(text)}`
}

function encode(value: object): string {
  return Buffer.from(JSON.stringify(value)).toString('base64url')
}
