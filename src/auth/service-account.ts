/** A service account of the cluster, as the user that the API server knows it as. */
export type ServiceAccount = {
  readonly kind: 'service-account'
  /** `system:serviceaccount:NAMESPACE:NAME`. */
  readonly name: string
  readonly namespace: string
}

/** A namespace is a DNS label, the name of a service account a DNS subdomain (RFC 1123). */
const userName =
  /^system:serviceaccount:([a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?):(?=.{1,253}$)[a-z0-9](?:[a-z0-9-]*[a-z0-9])?(?:\.[a-z0-9](?:[a-z0-9-]*[a-z0-9])?)*$/

/** Undefined for the name of any other user. */
export function parseServiceAccount(name: string): ServiceAccount | undefined {
  const namespace = userName.exec(name)?.[1]
  return namespace === undefined ? undefined : { kind: 'service-account', name, namespace }
}

/** The groups that the API server gives a service account, except those of all users. */
export function groupsOf({ namespace }: ServiceAccount): readonly string[] {
  return ['system:serviceaccounts', `system:serviceaccounts:${namespace}`]
}
