const compile = () => {
  throw new Error('a route has a schema')
}

/** Options of Fastify, without its compilers of schemas, which take a tenth of a start to load: no route has a schema. */
export const noSchemas = {
  schemaController: { compilersFactory: { buildValidator: compile, buildSerializer: compile } },
}
