import { z } from 'zod'

/** A name of an object in the same namespace, and of one of its keys. */
const keyRef = (what: string) =>
  z
    .object({
      name: z
        .string()
        .min(1)
        .max(253)
        .describe(`Name of the ${what}, in the namespace of the Registry.`),
      key: z.string().min(1).max(253).default('ca.crt').describe('Key with the certificates.'),
    })
    .describe(
      `Key of a ${what} with the certificate authorities that signed the registry's certificate, in PEM.`,
    )

const rule = (text: string, message: string) => ({ rule: text, message })
const rules = (...all: readonly ReturnType<typeof rule>[]) => ({ 'x-kubernetes-validations': all })

/** A host name, an IPv4 address or an IPv6 address in brackets; a port. Without scheme and path. */
const hostPattern =
  /^([a-zA-Z0-9]([a-zA-Z0-9.-]*[a-zA-Z0-9])?|\[[0-9a-fA-F:.]+\])(:[1-9][0-9]{0,4})?$/
const host = () => z.string().min(1).max(259).regex(hostPattern)

const direct = z
  .object({
    host: host().describe(
      'Host and port, such as `registry.example.com:5000`. No scheme, no path.',
    ),
  })
  .describe('A registry with a host of its own.')

const label = () =>
  z
    .string()
    .max(63)
    .regex(/^[a-z0-9]([a-z0-9-]*[a-z0-9])?$/)

const indirect = z
  .object({
    namespace: label()
      .optional()
      .describe('Namespace of the Service. Default: that of the Registry.'),
    service: label().describe('Name of the Service.'),
    port: z.int().min(1).max(65535).describe('Port of the Service.'),
  })
  .describe('A registry behind a Service of this cluster.')

const tls = z
  .object({
    enabled: z
      .boolean()
      .optional()
      .describe(
        'Whether the registry is reached by HTTPS. Default: true; for a provider, what the provider has.',
      ),
    caSecretRef: keyRef('Secret').optional(),
    caConfigMapRef: keyRef('ConfigMap').optional(),
    serverName: z
      .string()
      .min(1)
      .max(253)
      .optional()
      .describe("Name that the registry's certificate is valid for, if it differs from the host."),
  })
  .describe(
    "How the registry's certificate is verified. Authorities are added to those of the system.",
  )
  .meta(
    rules(
      rule(
        '!(has(self.caSecretRef) && has(self.caConfigMapRef))',
        'set caSecretRef or caConfigMapRef, not both',
      ),
      rule(
        '!has(self.enabled) || self.enabled || !(has(self.caSecretRef) || has(self.caConfigMapRef) || has(self.serverName))',
        'a registry without TLS has no certificate: remove the other fields, or enabled: false',
      ),
    ),
  )

const hosts = () =>
  z
    .array(
      z
        .string()
        .min(1)
        .max(260)
        .regex(/^(https?:\/\/)?(\*\.)?[a-zA-Z0-9.-]+(:[0-9]+)?$/),
    )
    .max(16)
    .optional()

const credentials = z
  .object({
    secretRef: z
      .object({ name: z.string().min(1).max(253) })
      .optional()
      .describe(
        'Name of a Secret in the namespace of the Registry: of type kubernetes.io/dockerconfigjson with an entry for the host, of type kubernetes.io/basic-auth, or with the keys `username` and `password`, or `token`.',
      ),
    tokenRealms: hosts().describe(
      "Hosts of the registry's token service, if they are in another domain than the registry.",
    ),
  })
  .describe(
    'The login for the registry. Default: none; for OpenShift, the token of the service account `builder`.',
  )

const spool = z
  .object({
    enabled: z.boolean().default(true).describe('Whether the surrogate has a spool.'),
    sizeLimit: z
      .string()
      .regex(/^[1-9][0-9]*([KMGT]i?)?$/)
      .default('10Gi')
      .describe('Size of the spool, on a disk of the node. Files in it are lost with the pod.'),
  })
  .describe(
    'A directory in the surrogate: images that are copied there are pushed to the registry.',
  )

/** Schema of `spec`. What is not said here is in the CEL rules: exactly one of direct, indirect and provider. */
export const registrySpec = z
  .object({
    direct: direct.optional(),
    indirect: indirect.optional(),
    provider: z
      .enum(['minikube', 'openshift', 'simple'])
      .optional()
      .describe(
        "`minikube`: its add-on `registry`. `openshift`: the cluster's internal registry. `simple`: Berth, found by the labels of its chart.",
      ),
    host: host()
      .optional()
      .describe(
        'Host of the registry in image names of pods. Default: the one that follows from the fields above.',
      ),
    tls: tls.optional(),
    credentials: credentials.optional(),
    redirects: hosts().describe(
      'Hosts to which the registry redirects for blobs, if they are neither public nor in its domain: `host`, `*.host`, or `http://host:port`.',
    ),
    spool: spool.optional(),
  })
  .describe('Where a registry is, and how to log in.')
  .meta(
    rules(
      rule(
        '[has(self.direct), has(self.indirect), has(self.provider)].filter(x, x).size() == 1',
        'set exactly one of direct, indirect and provider',
      ),
    ),
  )

const condition = z.object({
  type: z.string().max(316),
  status: z.enum(['True', 'False', 'Unknown']),
  observedGeneration: z.int().min(0).optional(),
  lastTransitionTime: z.string().meta({ format: 'date-time' }),
  reason: z.string().min(1).max(1024),
  message: z.string().max(32_768),
})

export const registryStatus = z
  .object({
    observedGeneration: z
      .int()
      .optional()
      .describe('Generation of the spec that this status is about.'),
    host: z.string().optional().describe('Host of the registry in image names of pods.'),
    url: z.string().optional().describe('Where the surrogate reaches the registry.'),
    surrogate: z.string().optional().describe('Name of the Deployment of the surrogate.'),
    conditions: z
      .array(condition)
      .max(16)
      .optional()
      .meta({ 'x-kubernetes-list-type': 'map', 'x-kubernetes-list-map-keys': ['type'] })
      .describe(
        '`Accepted`: the spec can be used. `Deployed`: the surrogate runs. `Reachable`: the registry answers it. `Authenticated`: the registry accepts the login. `Ready`: all of these.',
      ),
  })
  .describe('What the operator found.')

/** A Registry as the API server has it. */
export const registryResource = z.object({
  metadata: z.object({
    name: z.string(),
    namespace: z.string(),
    uid: z.string(),
    generation: z.int().default(1),
    resourceVersion: z.string(),
    deletionTimestamp: z.string().optional(),
  }),
  spec: registrySpec,
  status: registryStatus.default({}),
})
export type Registry = z.output<typeof registryResource>
