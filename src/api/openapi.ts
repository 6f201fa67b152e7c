import { z } from 'zod'
import { operations } from './operations.ts'
import { problemDetails } from './schema/problem.ts'

type Json = Readonly<Record<string, unknown>>

const description = `What Berth's page shows, for programs. All paths are on the address of /v2/, with the same
access rules: what a client may not pull is in no answer. POST requests need Content-Type: application/json, and
like DELETE requests they must not come from a web page of another origin. Sizes are in bytes, times are UTC. Other
fields may be added.`

/** The OpenAPI description of the API, from the table of operations. */
export function openapiDocument(version: string): Json & { readonly openapi: string } {
  const schemas: Record<string, unknown> = {}
  const paths: Record<string, Record<string, unknown>> = {}
  const problem = schemaOf(problemDetails, schemas)
  for (const [operationId, { method, path, summary, query, answer }] of Object.entries(operations))
    paths[path] = {
      ...paths[path],
      [method.toLowerCase()]: {
        operationId,
        summary,
        parameters: [...pathParameters(path), ...queryParameters(query, schemas)],
        responses: {
          200: { description: 'OK', content: answerOf(answer, schemas) },
          default: { description: 'Error', content: contentOf('problem+json', problem) },
        },
      },
    }
  return {
    openapi: '3.1.0',
    info: { title: 'Berth', version, description: description.replaceAll('\n', ' ') },
    security: [{}, { basic: [] }],
    paths,
    components: {
      schemas,
      securitySchemes: { basic: { type: 'http', scheme: 'basic' } },
    },
  }
}

function answerOf(answer: z.ZodType, schemas: Record<string, unknown>): Json {
  if (answer instanceof z.ZodUndefined) return { 'application/octet-stream': {} }
  return contentOf('json', schemaOf(answer, schemas))
}

function contentOf(type: 'json' | 'problem+json', schema: Json): Json {
  return { [`application/${type}`]: { schema } }
}

/** Names contain slashes, which are not encoded. */
function pathParameters(path: string): readonly Json[] {
  return [...path.matchAll(/\{(\w+)\}/g)].map(([, name]) => ({
    name,
    in: 'path',
    required: true,
    schema: { type: 'string' },
    ...(name === 'name' && { description: 'A repository; its slashes need not be encoded' }),
  }))
}

function queryParameters(query: z.ZodType, schemas: Record<string, unknown>): readonly Json[] {
  const { properties } = z
    .object({ properties: z.record(z.string(), z.looseObject({})) })
    .parse({ properties: {}, ...schemaOf(query, schemas) })
  return Object.entries(properties).map(([name, { description: about, ...schema }]) => ({
    name,
    in: 'query',
    required: false,
    schema,
    ...(about !== undefined && { description: about }),
  }))
}

/** Named schemas go to the components. */
function schemaOf(schema: z.ZodType, schemas: Record<string, unknown>): Json {
  const { $schema, $defs, ...own } = z.toJSONSchema(schema, {
    override: ({ jsonSchema }) => {
      delete jsonSchema.readOnly
      if (jsonSchema.format === 'date-time') delete jsonSchema.pattern
    },
  })
  const moved: Json = JSON.parse(
    JSON.stringify({ own, named: $defs ?? {} }).replaceAll('#/$defs/', '#/components/schemas/'),
  )
  Object.assign(schemas, moved['named'])
  return z.record(z.string(), z.unknown()).parse(moved['own'])
}
