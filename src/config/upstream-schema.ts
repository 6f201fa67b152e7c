import { z } from 'zod'
import { file, globs, httpUrl, prefix } from './texts.ts'
import { duration, size, timeout } from './units.ts'

const registryUrl = httpUrl(
  'https://us-central1-docker.pkg.dev',
  'credentials go under "credentials"',
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
        'Access of the requested tokens (push: true of the upstream requests push); Berth requests the narrowest scope that grants it',
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

/** An upstream: where it is, its credentials, and what Berth serves from it. */
export const upstream = z.strictObject({
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
    .boolean()
    .prefault(false)
    .describe(
      'Send what clients push and delete to the upstream, as the identity of its credentials; clients also need a rule in auth.access',
    ),
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
