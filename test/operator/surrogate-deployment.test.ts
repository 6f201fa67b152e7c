import assert from 'node:assert/strict'
import { test } from 'node:test'
import { type BerthService, type Place, placeOf } from '../../src/operator/place.ts'
import type { Registry } from '../../src/operator/registry-resource.ts'
import { surrogateDeployment } from '../../src/operator/surrogate-deployment.ts'

const metadata = { name: 'team', namespace: 'apps', uid: 'u1', generation: 3, resourceVersion: '7' }
const berths: readonly BerthService[] = [
  { namespace: 'registry', name: 'berth', port: 30026, isTls: true, nodePort: 31_000 },
]

function registryOf(spec: Registry['spec']): Registry {
  return { metadata, spec, status: {} }
}

function placeFor(spec: Registry['spec'], services: readonly BerthService[] = berths): Place {
  const place = placeOf(registryOf(spec), services)
  assert.ok(!('reason' in place), JSON.stringify(place))
  return place
}

test('each kind of Registry has its address, its host for pods, and its login', () => {
  const seen = (spec: Registry['spec']) => {
    const { url, host, prefix, login, authority } = placeFor(spec)
    return [url, host, prefix, login.kind, authority?.name]
  }
  assert.deepEqual(seen({ direct: { host: 'Registry.example.com' } }), [
    ...['https://registry.example.com', 'registry.example.com', '', 'none', undefined],
  ])
  assert.deepEqual(seen({ indirect: { service: 'r', port: 5000 }, tls: { enabled: false } }), [
    ...['http://r.apps.svc:5000', 'r.apps.svc:5000', '', 'none', undefined],
  ])
  assert.deepEqual(seen({ provider: 'minikube' }), [
    ...['http://registry.kube-system.svc:80', 'localhost:5000', '', 'none', undefined],
  ])
  const openshift = 'image-registry.openshift-image-registry.svc:5000'
  assert.deepEqual(seen({ provider: 'openshift' }), [
    ...[`https://${openshift}`, openshift, 'apps', 'service-account', 'openshift-service-ca.crt'],
  ])
  assert.deepEqual(seen({ provider: 'simple', host: 'images.example.com' }), [
    ...['https://berth.registry.svc:30026', 'images.example.com', 'local', 'none', undefined],
  ])
})

test('the host of Berth itself is that of its exposure', () => {
  const { host } = placeFor({ provider: 'simple' })
  assert.equal(host, 'localhost:31000')
  const inCluster = berths.map(({ nodePort, ...service }) => service)
  const service = placeFor({ provider: 'simple' }, inCluster)
  assert.equal(service.host, 'berth.registry.svc:30026')
})

test('fields of the spec replace those of a provider', () => {
  const place = placeFor({
    provider: 'openshift',
    tls: { caSecretRef: { name: 'own', key: 'tls.crt' } },
    credentials: { secretRef: { name: 'login' } },
  })
  assert.deepEqual(place.authority, { kind: 'secret', name: 'own', key: 'tls.crt' })
  assert.deepEqual(place.login, { kind: 'secret', name: 'login' })
})

test('an entry of a dockerconfigjson may name the Service in any of its ways, or as pods do', () => {
  const { aliases } = placeFor({
    indirect: { namespace: 'r', service: 's', port: 5000 },
    host: 'localhost:5000',
  })
  assert.deepEqual(aliases, ['s.r:5000', 's.r.svc.cluster.local:5000', 'localhost:5000'])
})

test('Berth is taken from the own namespace, else from the only one that has it', () => {
  const refusal = (services: typeof berths) =>
    placeOf(registryOf({ provider: 'simple' }), services) as { reason?: string; url?: string }
  const own = { namespace: 'apps', name: 'own', port: 30026, isTls: false }
  const other = { namespace: 'b', name: 'berth', port: 30026, isTls: false }
  assert.equal(refusal([...berths, other, own]).url, 'http://own.apps.svc:30026')
  assert.equal(refusal([...berths, other]).reason, 'SeveralBerths')
  assert.equal(refusal([]).reason, 'BerthNotFound')
})

const options = { image: 'berth:1', imagePullSecrets: [] }

test('a pod has no rights, no secret in its arguments, and no token', () => {
  const spec = {
    direct: { host: 'r.example.com' },
    credentials: { secretRef: { name: 'login' } },
  }
  const { deployment } = surrogateDeployment(registryOf(spec), placeFor(spec), options)
  const pod = deployment.spec.template.spec
  assert.equal(pod.automountServiceAccountToken, false)
  assert.equal('serviceAccountName' in pod, false)
  for (const container of [...pod.containers, ...pod.initContainers]) {
    assert.equal(container.securityContext.readOnlyRootFilesystem, true)
    assert.equal(container.securityContext.allowPrivilegeEscalation, false)
    assert.deepEqual(container.securityContext.capabilities, { drop: ['ALL'] })
    assert.ok(container.resources.limits.memory)
  }
  assert.equal(pod.securityContext.runAsNonRoot, true)
  const [owner] = deployment.metadata.ownerReferences
  assert.deepEqual([owner?.uid, owner?.controller], ['u1', true])
  assert.deepEqual(pod.volumes.at(-1), {
    name: 'login',
    secret: { secretName: 'login', optional: true, defaultMode: 0o440 },
  })
})

test("the token of OpenShift's builder is projected, and a spool can be left out", () => {
  const spec: Registry['spec'] = {
    provider: 'openshift',
    spool: { enabled: false, sizeLimit: '1Gi' },
  }
  const { deployment } = surrogateDeployment(registryOf(spec), placeFor(spec), options)
  const pod = deployment.spec.template.spec
  assert.equal('serviceAccountName' in pod && pod.serviceAccountName, 'builder')
  assert.equal(pod.automountServiceAccountToken, false)
  assert.deepEqual(pod.initContainers, [])
  assert.match(JSON.stringify(pod.volumes), /"serviceAccountToken":\{"path":"token"/)
  assert.ok(!JSON.stringify(pod.volumes).includes('"spool"'))
})

test('a change of the spec changes the configuration of pods, a status does not', () => {
  const configOf = (spec: Registry['spec'], status: Registry['status'] = {}) =>
    surrogateDeployment({ ...registryOf(spec), status }, placeFor(spec), options).config
  const direct = { direct: { host: 'r.example.com' } }
  assert.equal(configOf(direct), configOf(direct, { host: 'x' }))
  assert.notEqual(configOf(direct), configOf({ ...direct, tls: { enabled: false } }))
  assert.notEqual(configOf(direct), configOf({ ...direct, host: 'other.example.com' }))
})
