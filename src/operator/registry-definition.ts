import { z } from 'zod'
import { registrySpec, registryStatus } from './registry-resource.ts'

/** Characters of a Registry's name: `NAME-surrogate` is the name of a Deployment and a label. */
const maxName = 52

const properties = {
  apiVersion: { type: 'string' },
  kind: { type: 'string' },
  metadata: { type: 'object' },
  spec: schemaOf(registrySpec),
  status: schemaOf(registryStatus),
}

const column = (name: string, jsonPath: string, more: object = {}) => ({
  name,
  jsonPath,
  type: 'string',
  ...more,
})
const readyIs = (field: string) => `.status.conditions[?(@.type=="Ready")].${field}`

/** The CustomResourceDefinition of `registries.berth.dev`, whole, as it is applied to a cluster. */
export const registryDefinition = {
  apiVersion: 'apiextensions.k8s.io/v1',
  kind: 'CustomResourceDefinition',
  metadata: { name: 'registries.berth.dev' },
  spec: {
    group: 'berth.dev',
    scope: 'Namespaced',
    names: {
      kind: 'Registry',
      listKind: 'RegistryList',
      plural: 'registries',
      singular: 'registry',
    },
    versions: [
      {
        name: 'v1alpha1',
        served: true,
        storage: true,
        schema: {
          openAPIV3Schema: {
            type: 'object',
            description: 'A container registry that is reached through the API server.',
            required: ['spec'],
            properties,
            'x-kubernetes-validations': [
              {
                rule: `self.metadata.name.size() <= ${maxName}`,
                message: `the name may have at most ${maxName} characters`,
              },
            ],
          },
        },
        subresources: { status: {} },
        additionalPrinterColumns: [
          column('Host', '.status.host'),
          column('Ready', readyIs('status')),
          column('Reason', readyIs('reason')),
          column('Message', readyIs('message'), { priority: 1 }),
          column('Age', '.metadata.creationTimestamp', { type: 'date' }),
        ],
      },
    ],
  },
} as const

/** Structural, as Kubernetes demands: unknown fields are pruned, so nothing is said about them. */
function schemaOf(schema: z.ZodType): Record<string, unknown> {
  const { $schema: _, ...written } = z.toJSONSchema(schema, {
    io: 'input',
    target: 'openapi-3.0',
    override: ({ jsonSchema }) => {
      // Any integer that JavaScript has, which zod writes as limits.
      if (jsonSchema.minimum === Number.MIN_SAFE_INTEGER) delete jsonSchema.minimum
      if (jsonSchema.maximum === Number.MAX_SAFE_INTEGER) delete jsonSchema.maximum
    },
  })
  return written
}
