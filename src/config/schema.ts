import { z } from 'zod'
import { address, duration, size, timeout } from './units.ts'

const name = /^[a-z0-9]+((\.|_|__|-+)[a-z0-9]+)*(\/[a-z0-9]+((\.|_|__|-+)[a-z0-9]+)*)*$/
const prefix = z.string().refine((text) => text === '' || name.test(text), {
  message:
    'expected whole segments of a repository name, such as docker.io or team/images, or an empty text',
})
/** The danger: a glob with a leading `!` matches nearly every name. */
const globs = z.array(
  z
    .string()
    .min(1)
    .refine((glob) => !glob.startsWith('!'), {
      message:
        'a glob must not begin with "!", which would match everything else; list exclusions under "except", without the "!"',
    }),
)
const file = z.string().min(1)

const registryUrl = z
  .url({ protocol: /^https?$/, error: 'expected a URL such as https://us-central1-docker.pkg.dev' })
  .refine(
    (text) => {
      const url = URL.parse(text)
      return (
        url !== null &&
        url.username === '' &&
        url.password === '' &&
        url.search === '' &&
        url.hash === ''
      )
    },
    { message: 'expected no user, query or fragment; credentials go under "credentials"' },
  )

const credentials = z.discriminatedUnion('type', [
  z.strictObject({ type: z.literal('anonymous').describe('no credentials') }),
  z.strictObject({
    type: z
      .literal('google')
      .describe(
        'Google Application Default Credentials, for Artifact Registry and Container Registry',
      ),
    file: file
      .optional()
      .describe(
        'Credential configuration or service account key (default: $GOOGLE_APPLICATION_CREDENTIALS, then the credentials of gcloud, then the metadata server)',
      ),
    optional: z
      .boolean()
      .prefault(false)
      .describe('Send anonymous requests if there is neither a file nor a metadata server'),
    access: z
      .enum(['pull', 'push'])
      .prefault('pull')
      .describe(
        'Access of the requested tokens; Berth requests the narrowest scope that grants it',
      ),
  }),
  z.strictObject({
    type: z
      .literal('aws')
      .describe('the default credential provider chain of AWS, for Amazon ECR and ECR Public'),
    region: z
      .string()
      .min(1)
      .optional()
      .describe('Region of the registry (default: taken from the host name)'),
    profile: z
      .string()
      .min(1)
      .optional()
      .describe('Profile in the AWS configuration files (default: $AWS_PROFILE)'),
  }),
  z.strictObject({
    type: z
      .literal('azure')
      .describe(
        'workload identity, client secret or managed identity, for Azure Container Registry',
      ),
    tenantId: z.string().min(1).optional().describe('Tenant ID (default: $AZURE_TENANT_ID)'),
    clientId: z
      .string()
      .min(1)
      .optional()
      .describe(
        'Client ID of the application or of the managed identity (default: $AZURE_CLIENT_ID)',
      ),
    clientSecretFile: file
      .optional()
      .describe('File with the client secret (default: the value of $AZURE_CLIENT_SECRET)'),
    federatedTokenFile: file
      .optional()
      .describe(
        'File with a projected service account token (default: $AZURE_FEDERATED_TOKEN_FILE)',
      ),
    authorityHost: z
      .url({ protocol: /^https?$/ })
      .optional()
      .describe('URL of Microsoft Entra, for sovereign clouds (default: $AZURE_AUTHORITY_HOST)'),
  }),
  z.strictObject({
    type: z
      .literal('docker-config')
      .describe("docker's config.json and the credential helpers in it"),
    file: file
      .optional()
      .describe(
        'A config.json, or the .dockerconfigjson of an imagePullSecret (default: $DOCKER_CONFIG/config.json, then ~/.docker/config.json)',
      ),
  }),
  z.strictObject({
    type: z.literal('docker-helper').describe('a docker credential helper'),
    helper: z
      .string()
      .regex(/^[A-Za-z0-9][A-Za-z0-9._-]*$/, {
        message: 'expected a name such as ecr-login, without docker-credential- in front',
      })
      .describe('Name of the helper: the program docker-credential-NAME in $PATH'),
  }),
  z
    .strictObject({
      type: z.literal('static').describe('a user name and a password'),
      username: z.string().min(1).describe('User name sent to the upstream'),
      password: z
        .string()
        .refine((text) => text !== '[hidden]', {
          message:
            '"[hidden]" is what --print-config prints instead of a password; set the password, or its file in passwordFile',
        })
        .optional()
        .meta({ secret: true })
        .describe('Password sent to the upstream; prefer passwordFile'),
      passwordFile: file
        .optional()
        .describe('File with the password; Berth reloads it when it changes'),
    })
    .refine(
      ({ password, passwordFile }) => (password === undefined) !== (passwordFile === undefined),
      {
        message: 'expected either password or passwordFile',
      },
    ),
])

const tags = z.strictObject({
  ttl: duration()
    .prefault('1m')
    .describe('Time until Berth checks at the upstream whether a cached tag has changed'),
  staleIfError: duration()
    .prefault('24h')
    .describe('Maximum age of a cached tag that Berth serves while the upstream is unavailable'),
  immutable: globs
    .prefault([])
    .describe('Globs of tags that never change; Berth never checks a cached one again'),
  except: globs
    .prefault([])
    .describe('Globs of tags that can change although immutable matches them'),
})

const timeouts = z.strictObject({
  connect: timeout()
    .prefault('3s')
    .describe('Maximum time for DNS lookup, connection and TLS handshake together'),
  firstByte: timeout()
    .prefault('15s')
    .describe('Maximum time from a request to the headers of the response'),
  idle: timeout().prefault('30s').describe('Maximum time between two chunks of a response body'),
  minimumRate: size()
    .prefault('1KiB')
    .describe('Minimum transfer rate per second; a slower response body is aborted'),
})

const upstream = z.strictObject({
  prefix: prefix
    .prefault('')
    .describe(
      'First segments of the repository names that this upstream serves; empty: all names that no other prefix matches',
    ),
  url: registryUrl.describe('URL of the registry'),
  credentials: credentials
    .prefault({ type: 'anonymous' })
    .describe('Kind of credentials for the upstream'),
  tags: tags.prefault({}),
  repositories: globs
    .min(1)
    .prefault(['**'])
    .describe('Globs of the repositories that Berth serves from this upstream, without the prefix'),
  except: globs
    .prefault([])
    .describe('Globs of repositories that Berth does not serve although repositories matches them'),
  anonymous: z
    .enum(['none', 'pull'])
    .prefault('none')
    .describe(
      "Access for anonymous users to everything that this upstream's credentials can read; also requires auth.anonymous: pull, or a mirror",
    ),
  prefetch: z
    .boolean()
    .prefault(false)
    .describe("Download an image's layers as soon as a client pulls its manifest"),
  push: z
    .literal(false, { error: 'pushing through to an upstream is not supported in this version' })
    .prefault(false)
    .describe('Pushing through to the upstream; not supported in this version'),
  redirects: z
    .array(z.string())
    .prefault([])
    .describe(
      'Hosts at private addresses, or over plain http, to which the upstream may redirect: host, *.host, host:port or http://host:port; blobs need no entry for public https hosts, tags and lists do',
    ),
  tokenRealms: z
    .array(z.string())
    .prefault([])
    .describe(
      'Hosts of other domains, at private addresses or over plain http, that may receive the credential in exchange for a token',
    ),
  certificateAuthorities: file
    .optional()
    .describe(
      "PEM file with certificate authorities to trust in addition to the system's, for the registry and for requesting its credentials",
    ),
  timeouts: timeouts.prefault({}),
})

const hosted = z.strictObject({
  prefix: prefix.describe(
    'First segments of the names of the hosted repositories; empty: all names',
  ),
  anonymous: z
    .enum(['none', 'pull'])
    .prefault('none')
    .describe('Access for anonymous users; also requires auth.anonymous: pull'),
})

const mirror = z.strictObject({
  listen: address().describe(
    'Address that the mirror listens on, for plain HTTP without authentication; localhost is 127.0.0.1 and ::1',
  ),
  upstream: prefix
    .prefault('docker.io')
    .describe('Prefix of the upstream that the mirror serves; clients omit the prefix in names'),
})

const accessRule = z.strictObject({
  users: z
    .array(z.string().min(1))
    .min(1)
    .describe('User names; * is every user or, without auth.htpasswd, every client'),
  repositories: globs.min(1).describe('Globs of repository names, including the prefix'),
  except: globs
    .prefault([])
    .describe(
      'Globs of repository names that the rule excludes although repositories matches them',
    ),
  actions: z
    .array(z.enum(['pull', 'push', 'delete']))
    .min(1)
    .describe('Actions that the rule allows: pull, push, delete'),
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
      'Host names that anonymous users may use in requests: host or *.host. Always allowed: IP addresses, names without a dot, and names below localhost, svc, cluster.local and internal; with tls, every name',
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
        })
        .prefault({}),
      hosted: z
        .strictObject({
          directory: file
            .optional()
            .describe(
              'Directory of hosted repositories, such as a volume of Distribution (default: below storage.directory)',
            ),
        })
        .prefault({}),
    })
    .prefault({}),
  auth: z
    .strictObject({
      htpasswd: file
        .optional()
        .describe(
          'htpasswd file with bcrypt hashes; Berth reloads it when it changes. Without it there are no users',
        ),
      anonymous: z
        .enum(['none', 'pull'])
        .prefault('none')
        .describe(
          'Access for anonymous users, to the upstreams and hosted prefixes that set anonymous: pull',
        ),
      access: z
        .array(accessRule)
        .prefault([])
        .describe(
          'Access rules; without rules, every user may pull everything. Pushing and deleting always need a rule',
        ),
    })
    .prefault({}),
  upstreams: z
    .array(upstream)
    .prefault([])
    .describe('Registries to pull from; without upstreams, all repositories are hosted'),
  hosted: z
    .array(hosted)
    .prefault([{ prefix: 'local' }])
    .describe(
      'Prefixes of the repositories that Berth stores itself; this version does not accept pushes',
    ),
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
