import type { Registry } from './registry-resource.ts'

/** Where a registry is, and how its surrogate gets in. */
export type Place = {
  readonly url: string
  /** In image names of pods. */
  readonly host: string
  /** Other names of the registry, for entries of a dockerconfigjson. */
  readonly aliases: readonly string[]
  /** In front of repositories that are named without it. */
  readonly prefix: string
  readonly authority: Authority | undefined
  readonly serverName: string | undefined
  readonly login:
    | { readonly kind: 'none' }
    | { readonly kind: 'secret'; readonly name: string }
    | { readonly kind: 'service-account'; readonly name: string }
}

type Authority = {
  readonly kind: 'secret' | 'configMap'
  readonly name: string
  readonly key: string
}

/** A Service of Berth's chart. */
export type BerthService = {
  readonly namespace: string
  readonly name: string
  readonly port: number
  readonly isTls: boolean
  /** By which nodes reach it at localhost, if they do. */
  readonly nodePort?: number | undefined
}

/** Why a Registry cannot be used: its reason, and what to do. */
export type Refusal = { readonly reason: string; readonly message: string }

type Spec = Registry['spec']
type Address = Pick<Place, 'host' | 'prefix' | 'aliases'> & {
  /** `host[:port]` */
  readonly at: string
  readonly isTls: boolean
  readonly authority?: Authority
  readonly login?: Place['login']
}

const openshiftHost = 'image-registry.openshift-image-registry.svc:5000'

/** `services`: those of Berth's chart, for the provider `simple`. */
export function placeOf(
  { metadata, spec }: Pick<Registry, 'metadata' | 'spec'>,
  services: readonly BerthService[],
): Place | Refusal {
  const address = addressOf(spec, metadata.namespace, services)
  if ('reason' in address) return address
  const { at, isTls: usual, prefix } = address
  const { enabled: isTls = usual, serverName } = spec.tls ?? {}
  const host = spec.host ?? address.host
  const names = [...address.aliases, host].filter((name) => name !== at)
  return {
    url: `${isTls ? 'https' : 'http'}://${at}`,
    host,
    aliases: [...new Set(names)],
    prefix,
    authority: isTls ? (authorityIn(spec) ?? address.authority) : undefined,
    serverName: isTls ? serverName : undefined,
    login: loginIn(spec) ?? address.login ?? { kind: 'none' },
  }
}

function addressOf(
  { direct, indirect, provider }: Spec,
  namespace: string,
  services: readonly BerthService[],
): Address | Refusal {
  if (direct !== undefined) {
    const at = direct.host.toLowerCase()
    return { at, host: at, aliases: [], isTls: true, prefix: '' }
  }
  if (indirect !== undefined) {
    const { service, port } = indirect
    return serviceAddress({ namespace: indirect.namespace ?? namespace, name: service, port })
  }
  switch (provider) {
    case 'minikube':
      return {
        ...serviceAddress({ namespace: 'kube-system', name: 'registry', port: 80 }),
        // The add-on's proxy on each node.
        host: 'localhost:5000',
        isTls: false,
      }
    case 'openshift':
      return {
        at: openshiftHost,
        host: openshiftHost,
        aliases: ['image-registry.openshift-image-registry.svc.cluster.local:5000'],
        isTls: true,
        // Its repositories are NAMESPACE/NAME, and no others.
        prefix: namespace,
        // OpenShift puts it into each namespace.
        authority: { kind: 'configMap', name: 'openshift-service-ca.crt', key: 'service-ca.crt' },
        login: { kind: 'service-account', name: 'builder' },
      }
    case 'simple':
      return simpleAddress(namespace, services)
    case undefined:
      return { reason: 'NoRegistry', message: 'set one of direct, indirect and provider' }
  }
}

type ServicePort = { readonly namespace: string; readonly name: string; readonly port: number }

function serviceAddress({ namespace, name, port }: ServicePort): Address {
  const of = (suffix: string) => `${name}.${namespace}${suffix}:${port}`
  const at = of('.svc')
  return { at, host: at, aliases: [of(''), of('.svc.cluster.local')], isTls: true, prefix: '' }
}

/** Berth in the namespace of the Registry, else the only one in the cluster. */
function simpleAddress(namespace: string, services: readonly BerthService[]): Address | Refusal {
  const near = services.filter((service) => service.namespace === namespace)
  const [found, ...others] = near.length > 0 ? near : services
  if (found === undefined)
    return {
      reason: 'BerthNotFound',
      message:
        'found no Service with the labels app.kubernetes.io/name=berth and the port registry: install Berth, or name its Service in spec.indirect',
    }
  if (others.length > 0) {
    const all = [found, ...others].map((one) => `${one.namespace}/${one.name}`).join(', ')
    return {
      reason: 'SeveralBerths',
      message: `there are several Services of Berth: ${all}; name one in spec.indirect`,
    }
  }
  const { isTls, nodePort } = found
  const address = { ...serviceAddress(found), isTls, prefix: 'local' }
  return nodePort === undefined ? address : { ...address, host: `localhost:${nodePort}` }
}

function authorityIn({ tls }: Spec): Authority | undefined {
  if (tls?.caSecretRef !== undefined) return { kind: 'secret', ...tls.caSecretRef }
  if (tls?.caConfigMapRef !== undefined) return { kind: 'configMap', ...tls.caConfigMapRef }
  return undefined
}

function loginIn({ credentials }: Spec): Place['login'] | undefined {
  const name = credentials?.secretRef?.name
  return name === undefined ? undefined : { kind: 'secret', name }
}
