import {
  create,
  createFileRegistry,
  type DescMethod,
  type DescMethodServerStreaming,
  type DescMethodUnary,
} from '@bufbuild/protobuf'
import {
  FieldDescriptorProto_Label,
  FieldDescriptorProto_Type,
  FileDescriptorProtoSchema,
} from '@bufbuild/protobuf/wkt'

/** `int64` is a bigint. Others are names of messages. `[]` at the end: repeated. */
type Fields = Readonly<Record<string, readonly [number: number, type: string]>>

type Service = {
  readonly package: string
  readonly name: string
  /** Only the fields that are used: a parser skips the others. */
  readonly messages: Readonly<Record<string, Fields>>
  /** Request and response; `stream` for a stream of responses. */
  readonly methods: Readonly<Record<string, readonly [string, string, 'stream'?]>>
}

/** A map of strings is the same on the wire. */
const label: Fields = { key: [1, 'string'], value: [2, 'string'] }

/** The part of containerd's API (github.com/containerd/containerd/api, v1) that is used here. */
const services: readonly Service[] = [
  {
    package: 'containerd.services.namespaces.v1',
    name: 'Namespaces',
    messages: {
      Namespace: { name: [1, 'string'] },
      ListNamespacesRequest: {},
      ListNamespacesResponse: { namespaces: [1, 'Namespace[]'] },
    },
    methods: { List: ['ListNamespacesRequest', 'ListNamespacesResponse'] },
  },
  {
    package: 'containerd.services.images.v1',
    name: 'Images',
    messages: {
      Descriptor: { media_type: [1, 'string'], digest: [2, 'string'], size: [3, 'int64'] },
      Image: { name: [1, 'string'], target: [3, 'Descriptor'] },
      ListImagesRequest: {},
      ListImagesResponse: { images: [1, 'Image[]'] },
    },
    methods: { List: ['ListImagesRequest', 'ListImagesResponse'] },
  },
  {
    package: 'containerd.services.content.v1',
    name: 'Content',
    messages: {
      Label: label,
      Info: { digest: [1, 'string'], size: [2, 'int64'], labels: [5, 'Label[]'] },
      InfoRequest: { digest: [1, 'string'] },
      InfoResponse: { info: [1, 'Info'] },
      ReadContentRequest: { digest: [1, 'string'], offset: [2, 'int64'], size: [3, 'int64'] },
      ReadContentResponse: { offset: [1, 'int64'], data: [2, 'bytes'] },
    },
    methods: {
      Info: ['InfoRequest', 'InfoResponse'],
      Read: ['ReadContentRequest', 'ReadContentResponse', 'stream'],
    },
  },
  {
    package: 'containerd.services.leases.v1',
    name: 'Leases',
    messages: {
      Label: label,
      Lease: { id: [1, 'string'] },
      CreateRequest: { id: [1, 'string'], labels: [3, 'Label[]'] },
      CreateResponse: { lease: [1, 'Lease'] },
      DeleteRequest: { id: [1, 'string'] },
      Resource: { id: [1, 'string'], type: [2, 'string'] },
      AddResourceRequest: { id: [1, 'string'], resource: [2, 'Resource'] },
      Empty: {},
    },
    methods: {
      Create: ['CreateRequest', 'CreateResponse'],
      AddResource: ['AddResourceRequest', 'Empty'],
      Delete: ['DeleteRequest', 'Empty'],
    },
  },
]

const scalars: Readonly<Record<string, FieldDescriptorProto_Type>> = {
  string: FieldDescriptorProto_Type.STRING,
  int64: FieldDescriptorProto_Type.INT64,
  bytes: FieldDescriptorProto_Type.BYTES,
}

const methods = new Map(services.flatMap((service) => [...methodsOf(service)]))

/** Such as `Content.Info`. */
export function unaryMethod(name: string): DescMethodUnary {
  const method = methods.get(name)
  if (method === undefined || !isUnary(method)) throw new Error(`no unary method ${name}`)
  return method
}

/** Such as `Content.Read`. */
export function streamMethod(name: string): DescMethodServerStreaming {
  const method = methods.get(name)
  if (method === undefined || !isStream(method)) throw new Error(`no stream ${name}`)
  return method
}

function isUnary(method: DescMethod): method is DescMethodUnary {
  return method.methodKind === 'unary'
}

function isStream(method: DescMethod): method is DescMethodServerStreaming {
  return method.methodKind === 'server_streaming'
}

function* methodsOf(service: Service): Generator<[string, DescMethod]> {
  const registry = createFileRegistry(fileOf(service), () => undefined)
  for (const method of registry.getService(`${service.package}.${service.name}`)?.methods ?? [])
    yield [`${service.name}.${method.name}`, method]
}

function fileOf(service: Service) {
  const typeName = (message: string) => `.${service.package}.${message}`
  return create(FileDescriptorProtoSchema, {
    name: `${service.package}.proto`,
    package: service.package,
    syntax: 'proto3',
    messageType: Object.entries(service.messages).map(([name, fields]) => ({
      name,
      field: Object.entries(fields).map(([field, [number, type]]) => fieldOf(field, number, type)),
    })),
    service: [
      {
        name: service.name,
        method: Object.entries(service.methods).map(([name, [input, output, stream]]) => ({
          name,
          inputType: typeName(input),
          outputType: typeName(output),
          serverStreaming: stream === 'stream',
        })),
      },
    ],
  })

  function fieldOf(name: string, number: number, declared: string) {
    const type = declared.replace('[]', '')
    const scalar = scalars[type]
    return {
      name,
      number,
      label:
        type === declared
          ? FieldDescriptorProto_Label.OPTIONAL
          : FieldDescriptorProto_Label.REPEATED,
      ...(scalar === undefined
        ? { type: FieldDescriptorProto_Type.MESSAGE, typeName: typeName(type) }
        : { type: scalar }),
    }
  }
}
