import { z } from 'zod'
import { CredentialError } from '../credential-error.ts'
import { readJsonFile } from '../json-file.ts'

const formatSchema = z.discriminatedUnion('type', [
  z.looseObject({ type: z.literal('text') }),
  z.looseObject({ type: z.literal('json'), subject_token_field_name: z.string().min(1) }),
])

const sourceSchema = z.union([
  z
    .looseObject({ environment_id: z.string(), regional_cred_verification_url: z.string() })
    .transform((raw) => ({ kind: 'aws', raw }) as const),
  z
    .looseObject({
      executable: z.looseObject({
        command: z.string().regex(/[^\s"]/),
        timeout_millis: z.number().positive().optional(),
        output_file: z.string().optional(),
      }),
    })
    .transform(({ executable }) => ({ kind: 'executable', ...executable }) as const),
  z
    .looseObject({ certificate: z.looseObject({}) })
    .transform((raw) => ({ kind: 'certificate', raw }) as const),
  z
    .object({ file: z.string().min(1), format: formatSchema.optional() })
    .transform((source) => ({ kind: 'file', ...source }) as const),
  z
    .object({
      url: z.url(),
      headers: z.record(z.string(), z.string()).default({}),
      format: formatSchema.optional(),
    })
    .transform((source) => ({ kind: 'url', ...source }) as const),
])

const externalSchema = z.looseObject({
  type: z.literal('external_account'),
  audience: z.string(),
  subject_token_type: z.string(),
  token_url: z.url().exactOptional(),
  service_account_impersonation_url: z.url().exactOptional(),
  client_secret: z.string().exactOptional(),
  universe_domain: z.string().exactOptional(),
  /** Absent where the kubelet provides the subject token. */
  credential_source: sourceSchema.optional(),
})

const keySchema = z.looseObject({
  type: z.literal('service_account'),
  client_email: z.string(),
  private_key: z.string(),
  private_key_id: z.string().optional(),
  universe_domain: z.string().optional(),
  token_uri: z.url().default('https://oauth2.googleapis.com/token'),
})

const userSchema = z.looseObject({
  type: z.literal('authorized_user'),
  client_id: z.string(),
  client_secret: z.string(),
  refresh_token: z.string(),
  account: z.string().optional(),
  token_uri: z.url().optional(),
})

const externalUserSchema = z.looseObject({
  type: z.literal('external_account_authorized_user'),
  audience: z.string(),
  client_id: z.string(),
  client_secret: z.string(),
  refresh_token: z.string(),
  token_url: z.url(),
  token_info_url: z.string(),
  universe_domain: z.string().optional(),
})

const bases = [externalSchema, keySchema, userSchema, externalUserSchema] as const
const impersonatedSchema = z.looseObject({
  type: z.literal('impersonated_service_account'),
  service_account_impersonation_url: z.url(),
  delegates: z.array(z.string()).default([]),
  source_credentials: z.discriminatedUnion('type', bases),
})

const schema = z.discriminatedUnion('type', [...bases, impersonatedSchema])

/** A file that gcloud writes, by its `type`. */
export type Configuration = z.infer<typeof schema>
export type External = z.infer<typeof externalSchema>
export type SubjectTokenSource = z.infer<typeof sourceSchema>
export type Format = z.infer<typeof formatSchema>

/** @throws CredentialError */
export async function readConfiguration(file: string): Promise<Configuration> {
  try {
    return await readJsonFile(file, schema)
  } catch (cause) {
    const message = cause instanceof Error ? cause.message : String(cause)
    throw new CredentialError(message, { advice: adviceOn(cause, file), cause })
  }
}

function adviceOn(error: unknown, file: string): string {
  const code = error instanceof Error && 'code' in error ? error.code : undefined
  if (code === 'ENOENT')
    return `mount the credential configuration at ${file}, or correct the path in upstreams[].credentials.file or $GOOGLE_APPLICATION_CREDENTIALS`
  if (code === 'EACCES') return `make ${file} readable for the user that Berth runs as`
  return 'use a file that gcloud writes: a credential configuration (gcloud iam workload-identity-pools create-cred-config), a service account key, or application default credentials'
}

/** The account in `…/serviceAccounts/EMAIL:generateAccessToken`. */
export function accountIn(impersonationUrl: string | undefined): string | undefined {
  return impersonationUrl?.match(/\/serviceAccounts\/([^/:]+):generateAccessToken$/)?.[1]
}

/** The account that a configuration impersonates, if any. */
export function impersonatedBy(configuration: Configuration): string | undefined {
  const { type } = configuration
  if (type !== 'external_account' && type !== 'impersonated_service_account') return undefined
  return accountIn(configuration.service_account_impersonation_url)
}

/** The secrets in a configuration, which no message may contain. */
export function secretsIn(configuration: Configuration): readonly string[] {
  switch (configuration.type) {
    case 'external_account':
      return configuration.client_secret === undefined ? [] : [configuration.client_secret]
    case 'service_account':
      return [configuration.private_key]
    case 'impersonated_service_account':
      return secretsIn(configuration.source_credentials)
    default:
      return [configuration.refresh_token, configuration.client_secret]
  }
}
