import { z } from 'zod'
import { address, duration, size, timeout } from './units.ts'

const name = /^[a-z0-9]+((\.|_|__|-+)[a-z0-9]+)*(\/[a-z0-9]+((\.|_|__|-+)[a-z0-9]+)*)*$/
const prefix = z.string().refine((text) => text === '' || name.test(text), {
  message:
    'expected whole segments of a repository name, such as docker.io or team/images, or nothing',
})
/** A leading `!` would negate: alone it matches nearly everything, which nobody means who writes it. */
const globs = z.array(
  z
    .string()
    .min(1)
    .refine((glob) => !glob.startsWith('!'), {
      message:
        'a glob must not begin with "!": it would match everything else; list what to leave out under "except", without the "!"',
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
  z.strictObject({ type: z.literal('anonymous').describe('What kind of credentials') }),
  z.strictObject({
    type: z
      .literal('google')
      .describe("Google's application default credentials, for Artifact Registry"),
    file: file
      .optional()
      .describe(
        "Credential configuration or key; else $GOOGLE_APPLICATION_CREDENTIALS, then gcloud's own, then the metadata server",
      ),
    optional: z
      .boolean()
      .prefault(false)
      .describe('Ask anonymously where there is neither a file nor a metadata server'),
    access: z
      .enum(['pull', 'push'])
      .prefault('pull')
      .describe('What its tokens are for: the narrowest scope that allows it is asked for'),
  }),
  z.strictObject({
    type: z
      .literal('aws')
      .describe("Amazon ECR and ECR Public, by AWS's default credential provider chain"),
    region: z
      .string()
      .min(1)
      .optional()
      .describe("The registry's region, if it is not in the host name"),
    profile: z
      .string()
      .min(1)
      .optional()
      .describe("A profile of AWS's own configuration files; else $AWS_PROFILE"),
  }),
  z.strictObject({
    type: z
      .literal('azure')
      .describe(
        'Azure Container Registry: workload identity, a client secret, or a managed identity',
      ),
    tenantId: z.string().min(1).optional().describe('Else $AZURE_TENANT_ID'),
    clientId: z
      .string()
      .min(1)
      .optional()
      .describe('Of the application or of the managed identity; else $AZURE_CLIENT_ID'),
    clientSecretFile: file.optional().describe('Else $AZURE_CLIENT_SECRET'),
    federatedTokenFile: file
      .optional()
      .describe("A projected service account's token; else $AZURE_FEDERATED_TOKEN_FILE"),
    authorityHost: z
      .url({ protocol: /^https?$/ })
      .optional()
      .describe("Entra's URL, for clouds of their own; else $AZURE_AUTHORITY_HOST"),
  }),
  z.strictObject({
    type: z
      .literal('docker-config')
      .describe("What docker's config.json says, with the credential helpers that it names"),
    file: file
      .optional()
      .describe(
        'A config.json, or the .dockerconfigjson of an imagePullSecret; else $DOCKER_CONFIG/config.json, then ~/.docker/config.json',
      ),
  }),
  z.strictObject({
    type: z.literal('docker-helper').describe('A program docker-credential-HELPER on the path'),
    helper: z
      .string()
      .regex(/^[A-Za-z0-9][A-Za-z0-9._-]*$/, {
        message: 'expected a name such as ecr-login, without docker-credential- in front',
      })
      .describe('The program, without docker-credential- in front'),
  }),
  z
    .strictObject({
      type: z.literal('static').describe('A user name and a password'),
      username: z.string().min(1).describe('Who we are to the upstream'),
      password: z
        .string()
        .refine((text) => text !== '[hidden]', {
          message:
            '"[hidden]" is what --print-config shows in place of a password; write the password, or its file under passwordFile',
        })
        .optional()
        .meta({ secret: true })
        .describe('Better in a file'),
      passwordFile: file.optional().describe('Read again when it changes'),
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
    .describe('How long a tag is believed before the upstream is asked again'),
  staleIfError: duration()
    .prefault('24h')
    .describe('How long a tag serves while the upstream cannot be asked'),
  immutable: globs
    .prefault([])
    .describe('Globs of tags that never move, and are never asked for again'),
  except: globs.prefault([]).describe('Globs of tags that move although immutable matches them'),
})

const timeouts = z.strictObject({
  connect: timeout().prefault('3s').describe('Name lookup, connection and TLS together'),
  firstByte: timeout().prefault('15s').describe("From a request to the answer's headers"),
  idle: timeout().prefault('30s').describe('Between two pieces of a body'),
  minimumRate: size()
    .prefault('1KiB')
    .describe('Bytes a second below which a body counts as stuck'),
})

const upstream = z.strictObject({
  prefix: prefix
    .prefault('')
    .describe(
      'Names that begin with it go to this upstream; empty: all that no other prefix takes',
    ),
  url: registryUrl.describe('Where the registry is'),
  credentials: credentials.prefault({ type: 'anonymous' }).describe('What is shown to it'),
  tags: tags.prefault({}),
  repositories: globs
    .min(1)
    .prefault(['**'])
    .describe('Globs of the names below the prefix that are served'),
  except: globs
    .prefault([])
    .describe(
      'Globs of names below the prefix that are not served although repositories matches them',
    ),
  anonymous: z
    .enum(['none', 'pull'])
    .prefault('none')
    .describe(
      "Whether anonymous users may pull everything that this upstream's credentials can read; needs auth.anonymous: pull, or a mirror, as well",
    ),
  prefetch: z
    .boolean()
    .prefault(false)
    .describe("Fetch an image's layers as soon as its manifest is pulled"),
  push: z
    .literal(false, { error: 'pushing through to an upstream is not in this version' })
    .prefault(false)
    .describe('Whether pushes go through to it; not in this version'),
  redirects: z
    .array(z.string())
    .prefault([])
    .describe(
      'Hosts at private addresses, or by plain http, to which it may redirect: host, *.host, host:port or http://host:port; public https hosts need no entry',
    ),
  tokenRealms: z
    .array(z.string())
    .prefault([])
    .describe(
      'Hosts of other domains, at private addresses or by plain http, that may see our credential to give a token for it',
    ),
  certificateAuthorities: file
    .optional()
    .describe(
      "PEM file of authorities to trust beside the system's, for the registry and for its credentials",
    ),
  timeouts: timeouts.prefault({}),
})

const hosted = z.strictObject({
  prefix: prefix.describe('Names that begin with it are hosted; empty: all'),
  anonymous: z
    .enum(['none', 'pull'])
    .prefault('none')
    .describe('Whether anonymous users may pull from it; needs auth.anonymous: pull as well'),
})

const mirror = z.strictObject({
  listen: address().describe(
    'Where it listens, by plain HTTP, without passwords; localhost is 127.0.0.1 and ::1',
  ),
  upstream: prefix
    .prefault('docker.io')
    .describe('Prefix of the upstream that it serves, without the prefix in names'),
})

const accessRule = z.strictObject({
  users: z
    .array(z.string().min(1))
    .min(1)
    .describe('User names; * is every user and, without auth.htpasswd, every client'),
  repositories: globs.min(1).describe('Globs of repository names, prefix included'),
  except: globs
    .prefault([])
    .describe(
      'Globs of repository names that the rule does not cover although repositories matches them',
    ),
  actions: z
    .array(z.enum(['pull', 'push', 'delete']))
    .min(1)
    .describe('What the users may do there: pull, push, delete'),
})

/**
 * Everything that can be configured. Each field's description is what README, `berth config schema`
 * and `--help` say of it.
 */
export const schema = z.strictObject({
  listen: address()
    .prefault('localhost:30026')
    .describe('Where the registry listens; localhost is 127.0.0.1 and ::1'),
  hosts: z
    .array(
      z.string().regex(/^(\*\.)?[A-Za-z0-9]([A-Za-z0-9.-]*[A-Za-z0-9])?$/, {
        error: 'expected host names such as registry.example.com or *.example.com, without ports',
      }),
    )
    .prefault([])
    .describe(
      'Host names under which users who do not log in are answered: host or *.host. Always answered are addresses, names without a dot, and those below localhost, svc, cluster.local and internal; with tls, any name',
    ),
  admin: address().prefault('127.0.0.1:9026').describe('Where /metrics, /livez and /readyz are'),
  tls: z
    .strictObject({
      certificate: file.describe('PEM file, the chain included; read again when it changes'),
      key: file.describe('PEM file'),
    })
    .optional(),
  log: z
    .strictObject({
      level: z
        .enum(['debug', 'info', 'warn', 'error', 'silent'])
        .prefault('info')
        .describe('What is logged; requests are info'),
    })
    .prefault({}),
  storage: z
    .strictObject({
      directory: file.prefault('./.berth').describe('Where cache and hosted repositories are'),
      cache: z
        .strictObject({
          directory: file.optional().describe('The cache, if not below storage.directory'),
          maxSize: size()
            .prefault('10GiB')
            .describe('The cache stays below; set it lower than the sizeLimit of an emptyDir'),
          minimumFree: size()
            .prefault('256MiB')
            .describe('What stays free on the file system, whoever fills it'),
          scrubRate: size()
            .prefault('4MiB')
            .describe('Bytes a second that are verified in the background; 0: none'),
          scrubInterval: timeout()
            .prefault('1d')
            .describe('Time between the starts of two such verifications of the whole cache'),
        })
        .prefault({}),
      hosted: z
        .strictObject({
          directory: file
            .optional()
            .describe(
              'Hosted repositories, if not below storage.directory; may be a Distribution volume',
            ),
        })
        .prefault({}),
    })
    .prefault({}),
  auth: z
    .strictObject({
      htpasswd: file
        .optional()
        .describe('User names and bcrypt hashes; read again when it changes; none: no auth'),
      anonymous: z
        .enum(['none', 'pull'])
        .prefault('none')
        .describe(
          'Access for anonymous users; applies to upstreams and hosted prefixes with anonymous: pull',
        ),
      access: z
        .array(accessRule)
        .prefault([])
        .describe(
          'Access rules; without any, every user may pull everything. Pushing and deleting always need a rule',
        ),
    })
    .prefault({}),
  upstreams: z
    .array(upstream)
    .prefault([])
    .describe('Registries that are pulled through; none: everything is hosted'),
  hosted: z
    .array(hosted)
    .prefault([{ prefix: 'local' }])
    .describe('Prefixes of repositories on our own disk; this version accepts no pushes yet'),
  mirrors: z
    .array(mirror)
    .prefault([])
    .describe("Listeners for dockerd's registry-mirrors, which send neither ?ns= nor a password"),
  limits: z
    .strictObject({
      connections: z.int().min(1).prefault(4096).describe('Client connections at the same time'),
      memory: size()
        .refine((bytes) => bytes >= 128 * 2 ** 20, { message: 'expected at least 128MiB' })
        .optional()
        .describe(
          "Memory that the process may use, which bounds caches, connections and requests; else its cgroup's limit, or where there is none a quarter of the machine's memory, at most 2GiB",
        ),
      answerTime: timeout()
        .prefault('20s')
        .describe(
          'How long a client waits for the headers of an answer: then a blob of known size begins without its bytes, and all else is 503; containerd waits 30s',
        ),
      fillDeadline: timeout()
        .prefault('1h')
        .describe('How long the download of one blob may take in all'),
    })
    .prefault({}),
  shutdown: z
    .strictObject({
      delay: timeout()
        .prefault('5s')
        .describe('After SIGTERM: how long requests are still accepted, while not ready'),
      deadline: timeout().prefault('20s').describe('How long running answers may then take'),
    })
    .prefault({}),
  sendfile: z
    .boolean()
    .prefault(true)
    .describe('Let the kernel send blobs by itself, where it can'),
})

/** What may be written: units as text, everything optional. */
export type ConfigInput = z.input<typeof schema>

/** What is in force: durations in milliseconds, sizes in bytes. */
export type Config = z.output<typeof schema>
