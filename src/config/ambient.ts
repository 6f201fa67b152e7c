import { existsSync } from 'node:fs'
import { homedir } from 'node:os'
import { join } from 'node:path'

export type Environment = Readonly<Record<string, string | undefined>>

/** Settings from environment variables and files of other programs: clouds, docker, proxies, OpenSSL. */
export type Ambient = {
  readonly googleCredentials: string | undefined
  readonly metadataHost: string | undefined
  /** The environment of the executables in Google's credential configurations; undefined: they must not run. */
  readonly googleExecutables: Environment | undefined
  /** Path of docker's config.json, which may not exist. */
  readonly dockerConfig: string
  /** The AWS SDK reads all of these itself; our error messages mention them. */
  readonly aws: {
    readonly region: string | undefined
    readonly profile: string | undefined
    readonly roleArn: string | undefined
    readonly tokenFile: string | undefined
    /** URL of the agent of EKS Pod Identity or ECS. */
    readonly containerUrl: string | undefined
    readonly stsUrl: string | undefined
  }
  readonly azure: {
    readonly tenantId: string | undefined
    readonly clientId: string | undefined
    readonly clientSecret: string | undefined
    readonly federatedTokenFile: string | undefined
    readonly authorityHost: string | undefined
    readonly identityEndpoint: string | undefined
    readonly identityHeader: string | undefined
    readonly metadataHost: string | undefined
  }
  /** `HOST:PORT` of the API server of the cluster that Berth runs in. */
  readonly kubernetesServer: string | undefined
  /** Directory of the service account's token and authority; undefined: where kubelets mount it. */
  readonly serviceAccount: string | undefined
  readonly proxy: {
    readonly http: string | undefined
    readonly https: string | undefined
    readonly no: string | undefined
  }
  /** Certificate authorities in addition to the system's, as OpenSSL and Go read them. */
  readonly certificates: {
    readonly file: string | undefined
    readonly directories: string | undefined
  }
}

export function readAmbient(environment: Environment): Ambient {
  const anyCase = (name: string) =>
    environment[name] || environment[name.toLowerCase()] || undefined
  const gcloud = environment['CLOUDSDK_CONFIG'] ?? join(homedir(), '.config', 'gcloud')
  const wellKnown = join(gcloud, 'application_default_credentials.json')
  const set = (name: string) => environment[name] || undefined
  return {
    googleCredentials:
      environment['GOOGLE_APPLICATION_CREDENTIALS'] ||
      (existsSync(wellKnown) ? wellKnown : undefined),
    metadataHost: set('GCE_METADATA_HOST'),
    googleExecutables:
      environment['GOOGLE_EXTERNAL_ACCOUNT_ALLOW_EXECUTABLES'] === '1' ? environment : undefined,
    dockerConfig: join(set('DOCKER_CONFIG') ?? join(homedir(), '.docker'), 'config.json'),
    aws: {
      region: set('AWS_REGION') ?? set('AWS_DEFAULT_REGION'),
      profile: set('AWS_PROFILE'),
      roleArn: set('AWS_ROLE_ARN'),
      tokenFile: set('AWS_WEB_IDENTITY_TOKEN_FILE'),
      containerUrl:
        set('AWS_CONTAINER_CREDENTIALS_FULL_URI') ??
        (set('AWS_CONTAINER_CREDENTIALS_RELATIVE_URI') && 'http://169.254.170.2'),
      stsUrl: set('AWS_ENDPOINT_URL_STS') ?? set('AWS_ENDPOINT_URL'),
    },
    azure: {
      tenantId: set('AZURE_TENANT_ID'),
      clientId: set('AZURE_CLIENT_ID'),
      clientSecret: set('AZURE_CLIENT_SECRET'),
      federatedTokenFile: set('AZURE_FEDERATED_TOKEN_FILE'),
      authorityHost: set('AZURE_AUTHORITY_HOST'),
      identityEndpoint: set('IDENTITY_ENDPOINT'),
      identityHeader: set('IDENTITY_HEADER'),
      metadataHost: set('AZURE_POD_IDENTITY_AUTHORITY_HOST'),
    },
    kubernetesServer: apiServerAddress(environment),
    serviceAccount: set('BERTH_SERVICE_ACCOUNT'),
    proxy: { http: anyCase('HTTP_PROXY'), https: anyCase('HTTPS_PROXY'), no: anyCase('NO_PROXY') },
    certificates: { file: set('SSL_CERT_FILE'), directories: set('SSL_CERT_DIR') },
  }
}

/**
 * `HOST:PORT` of the API server, from the variables that Kubernetes sets in each container;
 * undefined outside a cluster.
 */
export function apiServerAddress(environment: Environment): string | undefined {
  const host = environment['KUBERNETES_SERVICE_HOST']
  if (host === undefined || host === '') return undefined
  const port = environment['KUBERNETES_SERVICE_PORT'] ?? '443'
  return `${host.includes(':') ? `[${host}]` : host}:${port}`
}
