import { z } from 'zod'
import { auth } from './auth-schema.ts'
import { bucket, redirects } from './bucket-schema.ts'
import { replicas } from './replicas-schema.ts'
import { collection, retention } from './retention-schema.ts'
import { file, prefix } from './texts.ts'
import { address, size, timeout } from './units.ts'
import { upstream } from './upstream-schema.ts'
import { warmUp } from './warm-up-schema.ts'

const hosted = z.strictObject({
  prefix: prefix.describe(
    'First segments of the names of the hosted repositories; empty: all names',
  ),
  anonymous: z
    .enum(['none', 'pull'])
    .prefault('none')
    .describe('Access for anonymous users; also requires auth.anonymous: pull'),
  quota: size()
    .optional()
    .describe(
      'Maximum size of the blobs and manifests below the prefix, each counted once; pushes beyond it are denied (default: no limit)',
    ),
  sparse: z
    .boolean()
    .prefault(false)
    .describe(
      'Accept images although some of their blobs were not pushed; indexes may always lack images',
    ),
})

const mirror = z.strictObject({
  listen: address().describe(
    'Address that the mirror listens on, for plain HTTP without authentication; localhost is 127.0.0.1 and ::1',
  ),
  upstream: prefix
    .prefault('docker.io')
    .describe('Prefix of the upstream that the mirror serves; clients omit the prefix in names'),
})

/**
 * The configuration. README.md, `berth config schema` and `--help` take each field's description from
 * here.
 */
export const schema = z.strictObject({
  listen: address()
    .prefault('localhost:30026')
    .describe('Address that the registry listens on; localhost is 127.0.0.1 and ::1'),
  hosts: z
    .array(
      z.string().regex(/^(\*\.)?[A-Za-z0-9]([A-Za-z0-9.-]*[A-Za-z0-9])?$/, {
        error: 'expected host names such as registry.example.com or *.example.com, without ports',
      }),
    )
    .prefault([])
    .describe(
      'Host names of this registry: host or *.host. Nodes may pull by them from another address, and anonymous users may use them in requests. In requests always allowed: IP addresses, names without a dot, and names below localhost, svc, cluster.local and internal; with tls, every name',
    ),
  admin: address()
    .prefault('127.0.0.1:9026')
    .describe('Address that serves /metrics, /livez and /readyz'),
  tls: z
    .strictObject({
      certificate: file.describe(
        'PEM file with the certificate and its chain; Berth reloads it when it changes',
      ),
      key: file.describe('PEM file with the private key'),
    })
    .optional(),
  log: z
    .strictObject({
      level: z
        .enum(['debug', 'info', 'warn', 'error', 'silent'])
        .prefault('info')
        .describe('Minimum level of logged messages; requests are logged at info'),
    })
    .prefault({}),
  storage: z
    .strictObject({
      directory: file
        .prefault('./.berth')
        .describe('Directory of the cache and of hosted repositories'),
      cache: z
        .strictObject({
          directory: file
            .optional()
            .describe('Directory of the cache (default: below storage.directory)'),
          maxSize: size()
            .prefault('10GiB')
            .describe("Maximum size of the cache; set it below the emptyDir's sizeLimit"),
          minimumFree: size()
            .prefault('256MiB')
            .describe('Space that the cache leaves free on its file system'),
          scrubRate: size()
            .prefault('4MiB')
            .describe(
              'Amount of cached data to verify in the background each second; 0: no verification',
            ),
          scrubInterval: timeout()
            .prefault('1d')
            .describe('Time between the starts of two background verifications of the whole cache'),
          bucket: bucket
            .extend({
              prefix: bucket.shape.prefix
                .prefault('cache')
                .describe('Path of the cache in the bucket, below which nothing else may be'),
            })
            .optional()
            .describe(
              'Second level of the cache, for all replicas: blobs that are not on the disk are read from it before the upstream, and what came from the upstream is written to it',
            ),
          bucketTimeout: timeout()
            .prefault('2s')
            .describe('Maximum time until the bucket sends a blob; after it the upstream is asked'),
          redirects,
        })
        .prefault({}),
      hosted: z
        .strictObject({
          directory: file
            .optional()
            .describe(
              'Directory of hosted repositories, such as a volume of Distribution; with a bucket, only of upload sessions and the index (default: below storage.directory)',
            ),
          bucket: bucket
            .optional()
            .describe('Bucket of hosted repositories, instead of the directory'),
          redirects,
          readOnly: z
            .boolean()
            .prefault(false)
            .describe('Deny pushes to and deletions from hosted repositories'),
          uploadExpiry: timeout()
            .prefault('1d')
            .describe('Time after its last write until an abandoned upload is canceled'),
        })
        .prefault({}),
    })
    .prefault({}),
  auth,
  upstreams: z
    .array(upstream)
    .prefault([])
    .describe('Registries to pull from; without upstreams, all repositories are hosted'),
  hosted: z
    .array(hosted)
    .prefault([{ prefix: 'local' }])
    .describe('Prefixes of the repositories that Berth stores itself'),
  collection,
  retention,
  inUse: z
    .strictObject({
      kubernetes: z
        .boolean()
        .prefault(false)
        .describe(
          'Watch the workloads of the cluster that Berth runs in, and keep every image that they name; needs list and watch permissions. While it is not known what is in use, nothing is deleted',
        ),
      hosts: z
        .array(z.string().min(1))
        .prefault([])
        .describe(
          'Names of Berth in image references, besides localhost with the port of listen; for the report of images that are gone from their registry',
        ),
      interval: timeout()
        .prefault('10m')
        .describe(
          'Time between two runs that mark cached images in use as used, and check that images in use still exist',
        ),
      listExpiry: timeout()
        .prefault('1h')
        .describe(
          'Age from which the list of another cluster (`berth in-use put`) is too old: nothing is deleted until it is renewed or removed',
        ),
      warmUp,
    })
    .prefault({}),
  replicas: replicas.optional(),
  mirrors: z
    .array(mirror)
    .prefault([])
    .describe(
      "Listeners for dockerd's registry-mirrors; dockerd sends neither ?ns= nor a password",
    ),
  limits: z
    .strictObject({
      connections: z
        .int()
        .min(1)
        .prefault(4096)
        .describe('Maximum number of open client connections'),
      memory: size()
        .refine((bytes) => bytes >= 128 * 2 ** 20, { message: 'expected at least 128MiB' })
        .optional()
        .describe(
          "Maximum memory of the process, which limits caches, connections and requests (default: the limit of its cgroup, or else a quarter of the machine's memory, at most 2GiB)",
        ),
      answerTime: timeout()
        .prefault('20s')
        .describe(
          'Maximum time until a client receives the headers of a response. After it Berth sends the headers of a blob whose size is known before its bytes, and 503 for other requests. containerd waits 30s',
        ),
      fillStall: timeout()
        .prefault('1m')
        .describe('Maximum time without progress, over retries, before a blob download fails'),
      fillDeadline: timeout().prefault('1h').describe('Maximum time to download one blob'),
    })
    .prefault({}),
  cors: z
    .strictObject({
      origins: z
        .array(
          z.string().refine((text) => text === '*' || URL.parse(text)?.origin === text, {
            error: 'expected origins such as https://ui.example.com, without a path, or *',
          }),
        )
        .prefault([])
        .describe(
          'Origins whose web pages may use /v2/, such as https://ui.example.com; *: any. The page of Berth itself needs none',
        ),
      methods: z
        .array(z.enum(['GET', 'HEAD', 'POST', 'PUT', 'PATCH', 'DELETE']))
        .min(1)
        .prefault(['GET', 'HEAD'])
        .describe(
          'Methods that they may use; with DELETE, they can delete what their user may delete',
        ),
      credentials: z
        .boolean()
        .prefault(false)
        .describe(
          'Whether browsers may send a login with their requests. They send it within one site only, as from ui.example.com to registry.example.com',
        ),
    })
    .refine(({ origins, credentials }) => !(credentials && origins.includes('*')), {
      error: 'credentials: true needs origins by name: with *, any web page could use the login',
    })
    .prefault({}),
  ui: z
    .strictObject({
      enabled: z
        .boolean()
        .prefault(true)
        .describe('Serve the page for browsers (/ui/), and its API (/api/)'),
      title: z.string().min(1).max(64).prefault('Berth').describe('Title of the page'),
      pullHost: z
        .string()
        .regex(/^[A-Za-z0-9.-]+(:\d{1,5})?$|^\[[0-9a-fA-F:]+\](:\d{1,5})?$/, {
          error: 'expected a host such as localhost:30026 or registry.example.com',
        })
        .optional()
        .describe(
          'host[:port] in the pull commands that the page shows (default: the host of its own address)',
        ),
    })
    .prefault({}),
  shutdown: z
    .strictObject({
      delay: timeout()
        .prefault('5s')
        .describe(
          'Time after SIGTERM during which Berth reports not ready but still accepts requests',
        ),
      deadline: timeout()
        .prefault('20s')
        .describe('Maximum time after that for responses in progress'),
    })
    .prefault({}),
  sendfile: z
    .boolean()
    .prefault(true)
    .describe('Send blobs with sendfile(2) if the platform supports it'),
})

/** The configuration as users write it: units as text, everything optional. */
export type ConfigInput = z.input<typeof schema>

/** The parsed configuration: durations in milliseconds, sizes in bytes. */
export type Config = z.output<typeof schema>
