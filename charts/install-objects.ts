import { execFile } from 'node:child_process'
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { promisify } from 'node:util'
import { parseAllDocuments, stringify } from 'yaml'

// What `npm run chart:install` writes: what the chart makes of the values of `berth simple install`.

const run = promisify(execFile)
const chart = new URL('berth/', import.meta.url).pathname
const program = new URL('../.ci/tools/helm3', import.meta.url).pathname

/** Is replaced by the namespace of the installation. */
const namespace = 'namespace-of-berth'
/** Of Helm's releases, which these objects are not. */
const chartLabel = 'helm.sh/chart'
const keepAnnotation = 'helm.sh/resource-policy'

/** Everyone who logs in, or everyone where there are no logins. */
const everything = { users: ['*'], repositories: ['**'], actions: ['pull', 'push', 'delete'] }

const withUsers = { htpasswd: { existingSecret: 'berth-htpasswd' } }
const withTls = { tls: { enabled: true, certManager: { enabled: true } } }

const access = (anonymous: 'none' | 'rules') => ({
  config: { auth: { anonymous, access: [everything] } },
})

const variants = {
  anonymous: access('rules'),
  users: { ...access('none'), ...withUsers },
  anonymousTls: { ...access('rules'), ...withTls },
  usersTls: { ...access('none'), ...withUsers, ...withTls },
}

/** What the chart makes, for each choice of `berth simple install`. */
export async function installObjects(): Promise<Readonly<Record<string, readonly object[]>>> {
  const home = await mkdtemp(join(tmpdir(), 'berth-helm-'))
  try {
    const rendered: Record<string, readonly object[]> = {}
    for (const [name, values] of Object.entries(variants))
      rendered[name] = await render(values, home)
    return rendered
  } finally {
    await rm(home, { recursive: true, force: true })
  }
}

/** The module in src/install: objects that all choices have in common are written once. */
export function installModule(rendered: Readonly<Record<string, readonly object[]>>): string {
  const texts = [
    ...new Set(
      Object.values(rendered)
        .flat()
        .map((object) => JSON.stringify(object)),
    ),
  ]
  const lines = texts.map((text) => `  ${text},`)
  const lists = Object.entries(rendered).map(([name, objects]) => {
    const places = objects.map((object) => texts.indexOf(JSON.stringify(object)))
    return `  ${name}: [${places.join(', ')}],`
  })
  return `// biome-ignore-all format: written by \`npm run chart:install\` from the templates of charts/berth
const objects: readonly object[] = [
${lines.join('\n')}
]

const places = {
${lists.join('\n')}
} as const

/** Choices of \`berth simple install\` that the chart's templates decide. */
export type ChartVariant = keyof typeof places

/** Stands for the namespace. */
export const namespacePlaceholder = '${namespace}'

/** What the templates of charts/berth make for a choice. */
export function chartObjects(variant: ChartVariant): readonly object[] {
  return objects.filter((_, at) => places[variant].some((place) => place === at))
}
`
}

async function render(values: object, home: string): Promise<readonly object[]> {
  const words = ['template', 'berth', chart, '--namespace', namespace, '--kube-version', '1.34.0']
  const running = run(program, [...words, '--values', '-'], { env: { HOME: home } })
  running.child.stdin?.end(stringify({ ...always, ...values }, { version: '1.1' }))
  const { stdout } = await running
  const objects = parseAllDocuments(stdout).map((document) => document.toJS())
  return objects.filter((object) => object !== null).map(withoutRelease)
}

const always = {
  image: { repository: 'image-of-berth' },
  replicas: 1,
  hosted: { enabled: true },
  tests: { enabled: false },
}

type Rendered = {
  readonly metadata: {
    readonly labels: Readonly<Record<string, string>>
    readonly annotations?: Readonly<Record<string, string>>
  }
}

function withoutRelease(object: Rendered): object {
  const { [chartLabel]: _, ...labels } = object.metadata.labels
  const { [keepAnnotation]: __, ...annotations } = object.metadata.annotations ?? {}
  const metadata = {
    ...object.metadata,
    labels: { ...labels, 'app.kubernetes.io/managed-by': 'kubectl-berth' },
    ...(object.metadata.annotations && { annotations }),
  }
  return { ...object, metadata }
}
