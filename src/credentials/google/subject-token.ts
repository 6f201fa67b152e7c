import { readRegularFile } from '../../input/input.ts'
import { CredentialError } from '../credential-error.ts'
import { parseJson } from '../parse-json.ts'
import { accountIn, type External, type Format, type SubjectTokenSource } from './configuration.ts'
import { type Environment, runExecutable } from './executable.ts'
import type { Transport } from './transport.ts'

export type SubjectTokenOptions = {
  readonly configuration: External
  /** From the kubelet: replaces the configured source. */
  readonly workloadToken?: string | undefined
  readonly executables: Environment | undefined
  readonly transport: Transport
  /** In milliseconds. */
  readonly deadline: number
}

/**
 * Reads the subject token from the file, URL or program that the configuration names, and trims white
 * space, which Google would treat as a part of the token. Undefined where the library creates the
 * subject token: a signed request to AWS, or a chain of certificates.
 */
export function readSubjectToken({
  configuration,
  workloadToken,
  executables,
  transport,
  deadline,
}: SubjectTokenOptions): (() => Promise<string>) | undefined {
  const { credential_source: source, audience, subject_token_type: type } = configuration
  if (workloadToken !== undefined) return async () => workloadToken.trim()
  if (source === undefined)
    throw new CredentialError('the credential configuration has no credential_source', {
      advice: 'create it again: gcloud iam workload-identity-pools create-cred-config',
    })
  switch (source.kind) {
    case 'file':
      return () => fromFile(source, audience)
    case 'url':
      return () => fromUrl(source, transport)
    case 'executable': {
      const { command, timeout_millis, output_file } = source
      const account = accountIn(configuration.service_account_impersonation_url)
      return () =>
        runExecutable({
          command,
          timeout: Math.min(timeout_millis ?? deadline, deadline),
          outputFile: output_file,
          environment: executables,
          variables: {
            GOOGLE_EXTERNAL_ACCOUNT_AUDIENCE: audience,
            GOOGLE_EXTERNAL_ACCOUNT_TOKEN_TYPE: type,
            GOOGLE_EXTERNAL_ACCOUNT_INTERACTIVE: '0',
            ...(account && { GOOGLE_EXTERNAL_ACCOUNT_IMPERSONATED_EMAIL: account }),
          },
        })
    }
    default:
      return undefined
  }
}

/** The source of a subject token, and its name in messages. */
export type Origin = {
  readonly kind: SubjectTokenSource['kind'] | 'kubelet' | 'none'
  readonly name: string
}

export function originOf(source: SubjectTokenSource | undefined): Origin {
  if (source === undefined) return { kind: 'none', name: 'nowhere' }
  return { kind: source.kind, name: nameOf(source) }
}

function nameOf(source: SubjectTokenSource): string {
  switch (source.kind) {
    case 'file':
      return source.file
    case 'url':
      return source.url.replace(/[?#].*/, '')
    case 'executable':
      return source.command.split(' ')[0] ?? ''
    case 'aws':
      return 'the AWS credentials of this machine'
    case 'certificate':
      return 'a client certificate'
  }
}

type FileSource = Extract<SubjectTokenSource, { kind: 'file' }>
type UrlSource = Extract<SubjectTokenSource, { kind: 'url' }>

async function fromFile({ file, format }: FileSource, audience: string): Promise<string> {
  const text = await readRegularFile(file).catch((cause: unknown) => {
    const code = cause instanceof Error && 'code' in cause ? String(cause.code) : 'unreadable'
    throw new CredentialError(`cannot read the subject token in ${file}: ${code}`, {
      advice: adviceOn(code, file, audience),
      cause,
    })
  })
  return tokenIn(text, format, file)
}

function adviceOn(code: string, file: string, audience: string): string {
  if (code === 'EACCES')
    return "make the file readable for the user that Berth runs as: set the pod's securityContext.fsGroup"
  return `mount a projected volume with a serviceAccountToken whose audience is https:${audience} so that the token's path is ${file}`
}

async function fromUrl({ url, headers, format }: UrlSource, transport: Transport): Promise<string> {
  const { data } = await transport.request<unknown>({ url, headers, responseType: 'text' })
  return tokenIn(String(data), format, url.replace(/[?#].*/, ''))
}

function tokenIn(text: string, format: Format | undefined, where: string): string {
  const token = format?.type === 'json' ? fieldIn(text, format.subject_token_field_name) : text
  if (typeof token === 'string' && token.trim() !== '') return token.trim()
  const missing = format?.type === 'json' ? `field ${format.subject_token_field_name}` : 'token'
  throw new CredentialError(`${where} contains no ${missing}`, {
    advice:
      'check credential_source in the credential configuration, and the program that writes the token',
  })
}

function fieldIn(text: string, field: string): unknown {
  const content = parseJson(text)
  return typeof content === 'object' && content !== null ? Reflect.get(content, field) : undefined
}
